"""Recipients of mail, and links in mail."""
