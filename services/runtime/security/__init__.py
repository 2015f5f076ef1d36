"""Access, identities, keys, TLS."""
