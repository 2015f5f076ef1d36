"""What people use: the command line, over the public API."""
