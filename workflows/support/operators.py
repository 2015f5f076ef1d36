"""What operators see of a run in Temporal UI, and cancellation."""

from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

from liity.workflows.v1.operators_pb2 import WaitsFor
from services.runtime.temporal.search_attributes import DEADLINE, REGISTRATION, STAGE, UNIT

CANCELLATION_IGNORED = "A cancellation was ignored: this run cannot be cancelled now."
"""Added to the run's details then."""


def show(
    note: str,
    about: str,
    deadline: datetime | None,
    *,
    stage: str = "",
    unit_id: str = "",
    registration_id: str = "",
    signals: Sequence[str] = (),
) -> None:
    """Shows operators, without personal data, what a run waits for, until when, and the signals it takes.

    `about` names the run's subject in Markdown. Search attributes that are not given stay as they are.
    """
    given = ((STAGE, stage), (UNIT, unit_id), (REGISTRATION, registration_id))
    workflow.upsert_search_attributes(
        [
            *(attribute.value_set(value) for attribute, value in given if value),
            DEADLINE.value_set(deadline) if deadline else DEADLINE.value_unset(),
        ]
    )
    until = f" until {deadline:%Y-%m-%d %H:%M} UTC" if deadline else ""
    names = ", ".join(f"`{name}`" for name in signals)
    taken = f"\n\nSignals: {names}, each with the body `{{}}`." if names else ""
    set_details(f"**{note}**{until}.\n\n{about}{taken}")


def set_details(details: str) -> None:
    """Sets the run's details. That a cancellation was ignored stays in them, whatever is shown later."""
    run = workflow.instance()
    ignored = isinstance(run, Operated) and run.cancellation_ignored
    workflow.set_current_details(f"{details}\n\n{CANCELLATION_IGNORED}" if ignored else details)


class Operated:
    """A workflow that Temporal UI's Cancel button cannot interrupt.

    A cancellation is taken as what an operator means by it. Where it means nothing, it is ignored, and the
    run's details say so: a cancelled run would leave its row waiting for ever.
    """

    cancellation_ignored = False
    """Whether a cancellation was ignored: the details say so from then on."""

    @workflow.query(
        name="waits_for",
        description="What the run waits for, until when, and which signals it takes. Takes no input.",
    )
    def waits_for(self) -> WaitsFor:
        """The run's current details."""
        return WaitsFor(details=workflow.get_current_details())

    async def take_cancellation(self) -> bool:
        """Handles a cancellation; False if it means nothing in this state."""
        return False
