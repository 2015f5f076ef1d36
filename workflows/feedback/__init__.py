"""`FeedbackWorkflow` and its activities."""
