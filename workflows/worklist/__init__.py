"""The daily digest of the work list."""
