"""Texts and views that people read."""
