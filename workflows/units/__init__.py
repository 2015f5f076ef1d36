"""Invitations to units, and closing of units."""
