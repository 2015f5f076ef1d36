"""Invitations to units, and their closing."""
