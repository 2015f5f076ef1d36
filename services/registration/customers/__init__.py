"""Customers: begun, changed, transferred, merged, ended."""
