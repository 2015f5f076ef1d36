"""Registrations: saved, decided, read."""
