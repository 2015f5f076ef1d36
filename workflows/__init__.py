"""The workflows, a package per domain, and the worker that runs them."""
