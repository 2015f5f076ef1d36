"""Class lists: storing, checking, and the outcome of each row."""
