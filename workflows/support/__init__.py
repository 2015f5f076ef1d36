"""What all workflows and activities share."""
