"""Code shared by all services; it knows none of them."""
