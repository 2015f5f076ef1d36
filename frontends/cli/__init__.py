"""The commands of registrars, customers and staff."""
