"""Measurements, side by side in one run: `make bench`, or `python -m bench`. Bounded; they stop by themselves."""
