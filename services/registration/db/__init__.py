"""Tables, their mapping to messages, and paging."""
