"""Helpers of all workflows and activities."""
