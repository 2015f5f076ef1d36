"""`ClassListWorkflow` and its activities."""
