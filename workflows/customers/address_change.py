"""`AddressChangeWorkflow`: changes a customer's address, mails both, and has the new one confirmed."""

from datetime import datetime, timedelta

from temporalio import workflow

from liity.workflows.v1.address_workflow_pb2 import (
    AddressChange,
    AddressStep,
    ChangeAddressRequest,
    ChangeAddressResponse,
)
from liity.workflows.v1.need_workflow_pb2 import NeedWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import AddressChanged, RegistrationStep
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import AddressChangeWorkflowNames, RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import REGISTRATION
from workflows.customers.address_change_activities import AddressActivities
from workflows.customers.need_activities import NeedActivities
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, set_details, show
from workflows.support.steps import first_message, mail_step, noted, quick_step, signal_registration

_LONGEST_DAY = timedelta(hours=25)
"""On the day on which summer time ends."""


@workflow.defn(name=AddressChangeWorkflowNames.WORKFLOW)
class AddressChangeWorkflow(Operated):
    """Coordinates one change of address (R14).

    Started by the update `change`, answered once the change is made. Edits of a temporary need come here too,
    to start watching it (R21). Other edits notify nobody and need no workflow.
    """

    def __init__(self) -> None:
        self._request = ChangeAddressRequest()
        self._change: AddressChange | None = None
        self._mails = BackgroundMails()

    @workflow.run
    async def run(self, request: ChangeAddressRequest | None = None) -> None:
        """Mails both addresses and signals the registration's run, once the change is made."""
        if not await first_message(lambda: self._change is not None, request, self._perform):
            return
        if self._change is not None and self._change.person_id:
            step = await self._tell(self._change)
            await workflow.wait_condition(self._mails.all_sent)
            # The result of an earlier release gives no time: such a run ends with its mails.
            if step.email.after and step.email.HasField("link_lifetime"):
                await self._await_confirmation(step)
        await workflow.wait_condition(lambda: self._mails.all_sent() and workflow.all_handlers_finished())

    @workflow.update(name=AddressChangeWorkflowNames.CHANGE)
    async def change(self, request: ChangeAddressRequest) -> ChangeAddressResponse:
        """Makes the change. Answers with the refusal, if any."""
        return await self._perform(request)

    async def _perform(self, request: ChangeAddressRequest) -> ChangeAddressResponse:
        self._request = request
        self._change = await quick_step(
            AddressActivities.change_address, request.update, "Change the address"
        )
        return self._change.answer

    async def _tell(self, change: AddressChange) -> AddressStep:
        if change.need_changed:
            customer = NeedWorkflowInput(customer_id=self._request.update.customer_id)
            watching = "Start watching the temporary need"
            await noted(quick_step(NeedActivities.watch_need, customer, watching), watching)
        workflow.upsert_search_attributes([REGISTRATION.value_set(change.registration_id)])
        set_details(f"**Notifies the addresses of a change**.\n\nRegistration `{change.registration_id}`.")
        await signal_registration(
            change.person_id, RegistrationWorkflowNames.ADDRESS_CHANGED, AddressChanged()
        )
        request_id = self._request.update.request_id
        step = AddressStep(
            step=RegistrationStep(
                registration_id=change.registration_id,
                person_id=change.person_id,
                registrar_account_id=self._request.account_id,
                event_id=request_id,
            ),
            email=change.email,
            change_request_id=request_id,
            previous_related_email=change.previous_related_email,
        )
        # In parallel: a failing address must not delay the other.
        if change.email.after:
            self._mails.mail(AddressActivities.confirm_address, step, "Confirm the new address")
        if change.email.before:
            self._mails.mail(AddressActivities.tell_previous_address, step, "Notify the previous address")
        if change.previous_related_email:
            self._mails.mail(
                AddressActivities.tell_previous_related_address, step, "Notify guardian's previous address"
            )
        return step

    async def _await_confirmation(self, step: AddressStep) -> None:
        """Halfway to the link's end reminds the new address; at the end tells the registrar.

        Each step looks first whether the address is confirmed: the link's page tells this run nothing.
        """
        half = step.email.link_lifetime.ToTimedelta() / 2
        await self._wait_until(workflow.now() + half, step, "Confirmation: reminder")
        reminding = "Remind the new address"
        await noted(mail_step(AddressActivities.remind_to_confirm, step, reminding), reminding)
        # The link ends with a day in Helsinki (R44). The rules of a time zone change: no run may follow them.
        rest_of_day = _LONGEST_DAY if half >= timedelta(days=1) else timedelta()
        await self._wait_until(workflow.now() + half + rest_of_day, step, "Confirmation: timeout")
        self._mails.mail(AddressActivities.tell_unconfirmed, step, "Notify the registrar: not confirmed")

    async def _wait_until(self, moment: datetime, step: AddressStep, summary: str) -> None:
        about = f"Registration `{step.step.registration_id}`."
        show("Waits until the new address is confirmed", about, moment)
        await workflow.sleep(moment - workflow.now(), summary=OperatorText(summary))
