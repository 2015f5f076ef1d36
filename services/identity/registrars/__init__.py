"""Registrars and their invitations."""
