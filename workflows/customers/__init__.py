"""Workflows that change a customer."""
