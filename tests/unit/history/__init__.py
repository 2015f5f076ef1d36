"""Judges of histories, over made-up histories: those they refuse, and those they accept."""
