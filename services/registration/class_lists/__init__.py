"""Class lists: stored and checked, row by row."""
