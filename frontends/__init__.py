"""Programs for people, over the public API."""
