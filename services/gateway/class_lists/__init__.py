"""Class-list files: read, checked, reported on."""
