"""How a new customer gets started: credentials, and the welcome two weeks later (R13, R26, R27)."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio import workflow

from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from liity.workflows.v1.need_workflow_pb2 import NeedWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import AddressChanged, MailStepResult
from services.runtime.temporal import OperatorText, RegistrationWorkflowNames
from workflows.deadlines import address_reminder_time, last_welcome_time, welcome_time
from workflows.need_activities import NeedActivities
from workflows.registration_activities import RegistrationActivities, first_credentials
from workflows.registration_run import CUSTOMER, RegistrationRun
from workflows.steps import mail_step, quick_step


class GettingStarted(RegistrationRun):
    """Sends the credentials, reminds of the customer's own address, and welcomes."""

    def __init__(self, person_id: str) -> None:
        super().__init__(person_id)
        self._address_changed = False
        self._tellings: list[asyncio.Task[MailStepResult]] = []

    async def _get_started(self) -> None:
        """Of an online customer: credentials now, the welcome two weeks later (R26).

        A CD borrower needs neither, and gets the link of their own at once (R21).
        """
        if self._registration.stage in CUSTOMER and self._created.temporary:
            customer = NeedWorkflowInput(customer_id=self._registration.customer_id)
            await quick_step(NeedActivities.watch_need, customer, "Watch the temporary need")
        stage, kind = self._registration.stage, self._registration.kind
        if stage not in CUSTOMER or stage == STAGE_WELCOMED:
            return
        if kind != CUSTOMER_KIND_ONLINE:
            if workflow.patched("tell-a-cd-borrower"):
                if workflow.patched("show-a-cd-borrower"):
                    self._show("Tells the CD borrower", None)
                step = self._step(event_id=self._event("customership begun"))
                told = mail_step(RegistrationActivities.tell_customership_begun, step, "Tell the CD borrower")
                # In the background: whoever becomes an online customer meanwhile does not wait for it (R23).
                self._tellings.append(asyncio.create_task(told))
            return
        begun = self._begun()
        if self._created.HasField("welcome_time"):
            welcome = self._created.welcome_time.ToDatetime(UTC)
            self._registration.stage = STAGE_CREDENTIALS_SENT
        else:
            welcome = welcome_time(begun, self._created.timetable)
            await self._send_credentials(welcome)
        self._show("Waits to send the welcome mail", welcome)
        if self._created.timetable.HasField("address_reminder"):
            # Side by side: a registrar who cannot be mailed keeps no customer waiting.
            await asyncio.gather(self._welcome(welcome), self._remind_to_change_address(begun, welcome))
        else:
            # Saved by a release that knew neither the reminder nor the longer wait.
            await self._sleep_until(welcome, "Welcome mail")
            await self._send_welcome()

    async def _remind_to_change_address(self, begun: datetime, welcome: datetime) -> None:
        """A week in, reminds the registrar whose own address is still on file (R27)."""
        reminder = address_reminder_time(begun, self._created.timetable)
        if reminder < welcome:
            await self._sleep_until(reminder, "Change-the-address reminder")
            step = self._step(welcome, self._event("change address reminder"))
            await mail_step(RegistrationActivities.remind_to_change_address, step, "Remind the registrar")

    async def _welcome(self, welcome: datetime) -> None:
        """Welcomes on the 14th day; later if the address on file is a registrar's then (R26, R27)."""
        await self._sleep_until(welcome, "Welcome mail")
        last = last_welcome_time(welcome, self._created.timetable)
        while workflow.now() < last and await self._registrars_address(last):
            self._show("Waits for the customer's own address", last)
            try:
                await workflow.wait_condition(
                    lambda: self._address_changed,
                    timeout=last - workflow.now(),
                    timeout_summary=OperatorText("Welcome mail at last"),
                )
            except TimeoutError:
                break
        await self._send_welcome()

    async def _registrars_address(self, last: datetime) -> bool:
        """Whether the address on file is a registrar's, as of now."""
        self._address_changed = False
        sent = self._registration.stage == STAGE_CREDENTIALS_SENT
        step = self._step(last if sent else None)
        looked = await quick_step(RegistrationActivities.look_whose_address, step, "Look whose address it is")
        return looked.registrars

    async def _send_welcome(self) -> None:
        step = self._step(event_id=self._event("welcome"))
        await mail_step(RegistrationActivities.send_welcome, step, "Send the welcome")
        self._registration.stage = STAGE_WELCOMED
        self._show("Complete", None)

    async def _sleep_until(self, moment: datetime, summary: str) -> None:
        await workflow.sleep(max(moment - workflow.now(), timedelta(0)), summary=OperatorText(summary))

    async def _send_credentials(self, welcome: datetime) -> None:
        self._show("Sends the credentials", None)
        step = self._step(welcome, first_credentials(self._registration.registration_id))
        sent = await mail_step(RegistrationActivities.send_credentials, step, "Send the credentials")
        if sent.delivered:
            self._registration.stage = STAGE_CREDENTIALS_SENT

    @workflow.signal(name=RegistrationWorkflowNames.ADDRESS_CHANGED)
    def address_changed(self, changed: AddressChanged) -> None:  # noqa: ARG002
        """The address on file may have changed: a welcome that waits for it looks again (R27)."""
        self._address_changed = True
