"""Personal identity codes, accounts and sessions, links in mail, customers' credentials."""
