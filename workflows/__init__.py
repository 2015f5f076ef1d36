"""The workflows: one file each, with their activities and the worker that runs them."""
