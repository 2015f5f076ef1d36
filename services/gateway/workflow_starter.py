"""What all that starts workflows shares: a client that may be replaced."""

from temporalio.client import Client


class WorkflowStarter:
    """Starts and updates workflows."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    def use(self, temporal: Client) -> None:
        """Goes on with another client: certificates have changed."""
        self._temporal = temporal
