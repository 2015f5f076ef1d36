"""Commands for administrators: keys, staff accounts, Temporal's namespace."""
