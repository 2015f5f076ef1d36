"""Benchmarks, run together by `make bench`. They are bounded and end by themselves."""
