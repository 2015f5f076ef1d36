"""Calls that several services take part in."""
