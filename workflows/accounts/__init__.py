"""Passwords: ordered, and reminded of."""
