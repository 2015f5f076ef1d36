"""What operators can do with a run in Temporal UI: ask what it waits for, and ask it to stop."""

from temporalio import workflow

from liity.workflows.v1.operators_pb2 import WaitsFor


class Operated:
    """A workflow that no button of Temporal UI breaks off.

    A request to cancel is taken as what an operator means by it. Where it means nothing it is ignored, which
    the run's details tell: a run that was simply cancelled would leave its row behind, waiting for ever.
    """

    @workflow.query(
        name="waits_for",
        description="Tells what the run waits for, until when, and which signals it takes. Takes no input.",
    )
    def waits_for(self) -> WaitsFor:
        """What the run waits for."""
        return WaitsFor(details=workflow.get_current_details())

    async def take_cancellation(self) -> bool:
        """Does what an operator means by a cancellation. False if it means nothing in this state."""
        return False
