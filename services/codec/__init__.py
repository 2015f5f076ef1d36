"""The codec server: decodes payloads of Temporal's histories for authorised accounts. It is stateless."""
