"""The log of use, and what is suspicious in it."""
