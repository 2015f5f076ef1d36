"""Messages between registrars and customer service."""
