"""Messages as tables and lines."""
