"""The log of use, and rules for suspicious use."""
