"""Reconciliation of rows and runs."""
