"""Who people are: personal identity codes, accounts and sessions, links in mail, customers' credentials."""
