"""`RegistrationWorkflow` and its activities."""
