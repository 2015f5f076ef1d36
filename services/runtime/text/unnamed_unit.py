"""The sign that stands for the name of a protected person's unit (R37), which no mail tells."""

UNNAMED_UNIT = "\u2014"
"""A dash. Notification puts words in the mail's language in its place."""
