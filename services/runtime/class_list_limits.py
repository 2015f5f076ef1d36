"""What the parts of Liity agree on about class lists."""

from datetime import timedelta

MOST_ROWS = 1000
"""Rows of a list."""

MOST_BYTES = 512 * 1024
"""Size of a list's file, and of the text in it: as forms it fits into one call."""

PATIENCE = timedelta(days=7)
"""How long a list may take: so long its persons are held, and then what is not decided is refused."""
