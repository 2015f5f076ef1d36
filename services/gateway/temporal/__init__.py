"""Workflows: started, updated, signalled."""
