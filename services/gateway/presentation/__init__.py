"""Texts and views for people."""
