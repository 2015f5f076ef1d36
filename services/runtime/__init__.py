"""What every service shares. Nothing here knows any one of them."""
