"""Limits of class lists, shared by gateway, registration and worker."""

from datetime import timedelta

MOST_ROWS = 1000
"""Most rows of a list."""

MOST_BYTES = 512 * 1024
"""Largest file of a list, and largest text in it, in bytes: its forms then fit into one call."""

PATIENCE = timedelta(days=7)
"""How long a list may take: its persons are held so long; rows undecided by then are refused."""
