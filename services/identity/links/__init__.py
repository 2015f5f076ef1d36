"""Links in mail and their tokens."""
