"""Mail: what is written, and whether it went out."""
