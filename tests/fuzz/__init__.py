"""The attacks on our own servers: every RPC that reflection shows, and the transport beneath them."""
