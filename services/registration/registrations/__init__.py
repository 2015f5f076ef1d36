"""Registrations: creation, decisions, queries."""
