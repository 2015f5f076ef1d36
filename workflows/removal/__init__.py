"""`RemovalWorkflow`: retention after the end of a customership, then erasure."""
