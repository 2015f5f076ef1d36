"""The work list of customer service."""
