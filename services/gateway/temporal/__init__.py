"""Starts, updates and signals workflows."""
