"""Credentials of online customers."""
