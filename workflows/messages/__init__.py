"""`MessageWorkflow` and its activities."""
