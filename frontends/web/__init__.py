"""The web pages of guardians, registrars, main users, customers and customer service."""
