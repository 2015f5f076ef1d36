"""Feedback on accessibility, from anybody."""
