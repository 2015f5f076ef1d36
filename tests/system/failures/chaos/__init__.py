"""Callers and faults of a chaos run, whose history is judged afterwards."""
