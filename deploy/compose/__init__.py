"""A trial installation with Docker Compose."""
