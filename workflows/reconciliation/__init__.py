"""Rows and runs that have lost each other."""
