"""Mail: rendering, sending, delivery state."""
