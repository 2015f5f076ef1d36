"""What an administrator does beside the running system."""
