"""The public API: one module per service."""
