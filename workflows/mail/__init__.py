"""Recipients of mail, and the links in it."""
