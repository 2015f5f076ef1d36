"""Temporal: client, codec, names, updates."""
