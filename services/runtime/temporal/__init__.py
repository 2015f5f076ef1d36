"""Temporal: client, codec, names."""
