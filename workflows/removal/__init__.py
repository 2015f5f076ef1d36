"""`RemovalWorkflow`: a customership ends and its data is erased."""
