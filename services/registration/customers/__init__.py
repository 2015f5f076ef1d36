"""Customers: creation, edits, transfers, merges, removals."""
