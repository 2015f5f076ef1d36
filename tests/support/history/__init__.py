"""Judges the whole of what callers asked and were answered while parts of the system failed."""
