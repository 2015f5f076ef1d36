"""After the customership begins: credentials, and the welcome mail two weeks later (R13, R26, R27)."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio import workflow

from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from liity.workflows.v1.need_workflow_pb2 import NeedWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import (
    RegistrationStep,
    WelcomePlanStep,
)
from services.runtime.stages import BEGUN
from services.runtime.temporal.codec import OperatorText
from workflows.customers.need_activities import NeedActivities
from workflows.registration.activities import RegistrationActivities, first_credentials
from workflows.registration.state import RegistrationRun
from workflows.support.deadlines import address_reminder_time, last_welcome_time, welcome_time
from workflows.support.steps import mail_step, noted, quick_step

_REMINDER = "Change-the-address reminder"
_REMIND = "Remind the registrar to change the address"


class WelcomePhase:
    """Sends the credentials, the address reminder to the registrar, and the welcome mail."""

    def __init__(self, run: RegistrationRun) -> None:
        self._run = run

    async def run(self) -> None:
        """Sends an online customer's credentials now and the welcome mail two weeks later (R26).

        A CD borrower gets neither, but a mail with their link at once (R21).
        """
        if self._run.welcome_time is not None:
            await self._await_welcome(self._run.begun or workflow.now(), self._run.welcome_time)
            return
        if self._run.registration.stage in BEGUN and self._run.created.temporary:
            customer = NeedWorkflowInput(customer_id=self._run.registration.customer_id)
            watching = "Start watching the temporary need"
            await noted(quick_step(NeedActivities.watch_need, customer, watching), watching)
        stage, kind = self._run.registration.stage, self._run.registration.kind
        if stage not in BEGUN or stage == STAGE_WELCOMED:
            return
        if kind != CUSTOMER_KIND_ONLINE:
            if workflow.patched("tell-a-cd-borrower"):
                if workflow.patched("show-a-cd-borrower"):
                    self._run.show("Mails the CD borrower", None)
                # In the background, so that a conversion to an online customer does not wait for it (R23).
                step = self._run.step(event_id=self._run.event_id("customership begun"))
                self._run.mails.mail(
                    RegistrationActivities.tell_customership_begun, step, "Mail the CD borrower"
                )
            return
        begun = self._run.stage_begun()
        if self._run.created.HasField("welcome_time"):
            welcome = self._run.created.welcome_time.ToDatetime(UTC)
            self._run.registration.stage = STAGE_CREDENTIALS_SENT
        else:
            welcome = await self._plan_welcome(begun)
            await self._send_credentials(welcome)
        await self._await_welcome(begun, welcome)

    async def _plan_welcome(self, begun: datetime) -> datetime:
        """When the welcome mail is due (R26). An activity reads the time zone: its rules change."""
        timetable, registration_id = self._run.created.timetable, self._run.registration.registration_id
        if not workflow.patched("plan-the-welcome-in-a-step"):
            return welcome_time(begun, timetable, registration_id)
        step = WelcomePlanStep(timetable=timetable, registration_id=registration_id)
        step.begin_time.FromDatetime(begun)
        planning = "Plan the welcome mail"
        plan = await noted(quick_step(RegistrationActivities.plan_welcome, step, planning), planning)
        if plan is None:
            return begun + timetable.welcome_delay.ToTimedelta()
        return plan.welcome_time.ToDatetime(UTC)

    async def _await_welcome(self, begun: datetime, welcome: datetime) -> None:
        """Waits until the welcome mail is due, and sends it."""
        self._run.begun, self._run.welcome_time = begun, welcome
        self._run.show("Waits to send the welcome mail", welcome)
        if self._run.created.timetable.one_timer:
            await self._await_address_reminder(begun, welcome)
            await self._welcome(welcome)
        elif self._run.created.timetable.HasField("address_reminder"):
            # Saved by a release that set both timers at once.
            await asyncio.gather(self._welcome(welcome), self._remind_to_change_address(begun, welcome))
        else:
            # Saved by a release without the reminder and the longer wait.
            await self._sleep_until(welcome, "Welcome mail")
            await self._send_welcome()
        self._run.begun = self._run.welcome_time = None

    async def _await_address_reminder(self, begun: datetime, welcome: datetime) -> None:
        """Reminds the registrar after a week if their own address is still on file (R27)."""
        reminder = self._address_reminder(begun, welcome)
        if reminder is not None:
            await self._sleep_until(reminder, _REMINDER)
            # In the background: a failing mail to the registrar must not delay the customer's.
            step = self._reminder_step(welcome)
            self._run.mails.mail(RegistrationActivities.remind_to_change_address, step, _REMIND)

    async def _remind_to_change_address(self, begun: datetime, welcome: datetime) -> None:
        """The same, beside the wait for the welcome mail."""
        reminder = self._address_reminder(begun, welcome)
        if reminder is not None:
            remaining = max(reminder - workflow.now(), timedelta(0))
            await workflow.sleep(remaining, summary=OperatorText(_REMINDER))
            step = self._reminder_step(welcome)
            await noted(mail_step(RegistrationActivities.remind_to_change_address, step, _REMIND), _REMIND)

    def _address_reminder(self, begun: datetime, welcome: datetime) -> datetime | None:
        """When the registrar is reminded; None if the welcome comes first, or they were reminded before."""
        reminder = address_reminder_time(begun, self._run.created.timetable)
        sent_before = self._run.waited_for_welcome_before and reminder <= workflow.now()
        return None if sent_before or reminder >= welcome else reminder

    def _reminder_step(self, welcome: datetime) -> RegistrationStep:
        return self._run.step(welcome, self._run.event_id("change address reminder"))

    async def _welcome(self, welcome: datetime) -> None:
        """Sends the welcome mail on day 14; later if a registrar's address is on file then (R26, R27)."""
        await self._sleep_until(welcome, "Welcome mail")
        last = last_welcome_time(welcome, self._run.created.timetable)
        while workflow.now() < last and await self._registrars_address(last):
            self._run.show("Waits for the customer's own address", last)
            try:
                await workflow.wait_condition(
                    lambda: self._run.address_changed or self._run.is_long,
                    timeout=last - workflow.now(),
                    timeout_summary=OperatorText("Latest time of the welcome mail"),
                )
            except TimeoutError:
                break
            if self._run.is_long:
                await self._run.continue_as_new()
        await self._send_welcome()

    async def _registrars_address(self, last: datetime) -> bool:
        """Whether a registrar's address is on file now."""
        self._run.address_changed = False
        sent = self._run.registration.stage == STAGE_CREDENTIALS_SENT
        step = self._run.step(last if sent else None)
        looking = "Check whose e-mail address is on file"
        looked = await noted(quick_step(RegistrationActivities.look_whose_address, step, looking), looking)
        return looked is not None and looked.registrars

    async def _send_welcome(self) -> None:
        sending, step = "Send the welcome mail", self._run.step(event_id=self._run.event_id("welcome"))
        await noted(mail_step(RegistrationActivities.send_welcome, step, sending), sending)
        self._run.registration.stage = STAGE_WELCOMED
        self._run.show("Complete", None)

    async def _sleep_until(self, moment: datetime, summary: str) -> None:
        """Sleeps until a moment; continues as new if the run is long."""
        try:
            await workflow.wait_condition(
                lambda: self._run.is_long,
                timeout=max(moment - workflow.now(), timedelta(0)),
                timeout_summary=OperatorText(summary),
            )
        except TimeoutError:
            return
        await self._run.continue_as_new()

    async def _send_credentials(self, welcome: datetime) -> None:
        self._run.show("Sends the credentials", None)
        step = self._run.step(welcome, first_credentials(self._run.registration.registration_id))
        sending = "Send the credentials"
        sent = await noted(mail_step(RegistrationActivities.send_credentials, step, sending), sending)
        if sent is not None and sent.delivered:
            self._run.registration.stage = STAGE_CREDENTIALS_SENT
