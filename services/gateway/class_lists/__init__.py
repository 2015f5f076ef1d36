"""Class-list files: parsing, checks, reports."""
