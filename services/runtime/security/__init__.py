"""Access table, identities, keys, TLS."""
