"""Measurements, side by side in one run: `make bench`. They are bounded and stop by themselves."""
