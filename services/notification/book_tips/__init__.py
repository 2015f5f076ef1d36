"""Book tips in the welcome mail."""
