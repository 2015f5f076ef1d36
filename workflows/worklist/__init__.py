"""The digest of the work list."""
