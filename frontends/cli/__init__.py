"""The `liity` commands of registrars, customers and staff."""
