"""Mail: rendering, sending, delivery state; book tips."""
