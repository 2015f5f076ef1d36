"""Disclosures of a person's data."""
