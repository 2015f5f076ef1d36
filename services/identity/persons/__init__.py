"""Persons and their personal identity codes."""
