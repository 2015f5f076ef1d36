"""Tests of keys in use."""
