"""Calls that involve several services."""
