"""Password reset and password reminders."""
