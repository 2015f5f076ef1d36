"""Starts and updates workflows about customers; each call has its own run."""

from google.protobuf.message import Message
from temporalio.common import SearchAttributePair

from liity.registration.v1.customer_service_pb2 import (
    ConvertToOnlineRequest,
    MergeCustomersRequest,
    OrderCredentialsRequest,
    RecordCodeChangeRequest,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UndoMergeRequest,
    UndoMergeResponse,
    UpdateCustomerRequest,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import CodeOf
from liity.v1.registration_pb2 import STAGE_ACTIVE
from liity.workflows.v1.address_workflow_pb2 import ChangeAddressRequest, ChangeAddressResponse
from liity.workflows.v1.code_change_workflow_pb2 import ChangeCodeRequest, ChangeCodeResponse
from liity.workflows.v1.credentials_workflow_pb2 import SendCredentialsRequest, SendCredentialsResponse
from liity.workflows.v1.merge_undo_workflow_pb2 import MergeUndoRequest, MergeUndoResponse
from liity.workflows.v1.merge_workflow_pb2 import MergeRequest, MergeResponse
from liity.workflows.v1.registration_workflow_pb2 import (
    ConvertRequest,
    ConvertResponse,
    RegistrationWorkflowInput,
)
from liity.workflows.v1.transfer_workflow_pb2 import TransferRequest, TransferResponse
from services.gateway.temporal.starter import Run, WorkflowStarter
from services.runtime.temporal.names import (
    AddressChangeWorkflowNames,
    CodeChangeWorkflowNames,
    CredentialsWorkflowNames,
    MergeUndoWorkflowNames,
    MergeWorkflowNames,
    RegistrationWorkflowNames,
    TransferWorkflowNames,
)
from services.runtime.temporal.search_attributes import KIND, STAGE, UNIT, kind_name, stage_name


class CustomerWorkflows(WorkflowStarter):
    """Transfers, edits, merges and converts customers, and sends credentials, by workflow."""

    async def transfer(self, transfer: TransferCustomerRequest) -> TransferCustomerResponse:
        """Transfers a person to another unit (R16)."""
        request_id = transfer.request_id
        update = TransferRequest(transfer=transfer)
        run = _run(
            TransferWorkflowNames.WORKFLOW,
            TransferWorkflowNames.workflow_id(request_id),
            "Transfer to another unit",
            transfer.unit_id,
            update,
        )
        name = TransferWorkflowNames.TRANSFER
        return (await self._update(run, name, update, request_id, TransferResponse)).moved

    async def send_credentials(self, order: OrderCredentialsRequest, account_id: str) -> None:
        """Sends credentials anew (R17), on behalf of an account."""
        request_id = order.request_id
        update = SendCredentialsRequest(order=order, account_id=account_id)
        run = _run(
            CredentialsWorkflowNames.WORKFLOW,
            CredentialsWorkflowNames.workflow_id(request_id),
            "Credentials sent anew",
            order.unit_id,
            update,
        )
        await self._update(run, CredentialsWorkflowNames.SEND, update, request_id, SendCredentialsResponse)

    async def change_address(self, edit: UpdateCustomerRequest, account_id: str) -> ChangeAddressResponse:
        """Makes an edit that may change the address for mail (R14), on behalf of an account."""
        request_id = edit.request_id
        update = ChangeAddressRequest(update=edit, account_id=account_id)
        run = _run(
            AddressChangeWorkflowNames.WORKFLOW,
            AddressChangeWorkflowNames.workflow_id(request_id),
            "Change of a customer's address",
            edit.unit_id,
            update,
        )
        name = AddressChangeWorkflowNames.CHANGE
        return await self._update(run, name, update, request_id, ChangeAddressResponse)

    async def merge(self, merge: MergeCustomersRequest, code_of: CodeOf.ValueType) -> None:
        """Merges two customers into one (R24, R34)."""
        request_id = merge.request_id
        update = MergeRequest(merge=merge, code_of=code_of)
        run = _run(
            MergeWorkflowNames.WORKFLOW,
            MergeWorkflowNames.workflow_id(request_id),
            "Merge of two customers",
            merge.unit_id,
            update,
        )
        await self._update(run, MergeWorkflowNames.MERGE, update, request_id, MergeResponse)

    async def undo_merge(self, undo: UndoMergeRequest) -> UndoMergeResponse:
        """Takes a merge back (R43)."""
        update = MergeUndoRequest(undo=undo)
        run = _run(
            MergeUndoWorkflowNames.WORKFLOW,
            MergeUndoWorkflowNames.workflow_id(undo.request_id),
            "Undoing of a merge",
            undo.unit_id,
            update,
        )
        name = MergeUndoWorkflowNames.UNDO
        return (await self._update(run, name, update, undo.request_id, MergeUndoResponse)).undone

    async def change_code(self, person_id: str, record: RecordCodeChangeRequest, unit_id: str) -> str:
        """Gives a person the code that identity stored for this call (R24, R34).

        Returns the ID of another person who has got the code meanwhile; else empty.
        """
        request_id = record.request_id
        update = ChangeCodeRequest(record=record)
        run = _run(
            CodeChangeWorkflowNames.WORKFLOW,
            CodeChangeWorkflowNames.workflow_id(person_id),
            "Change of a personal identity code",
            unit_id,
            update,
        )
        name = CodeChangeWorkflowNames.CHANGE
        return (await self._update(run, name, update, request_id, ChangeCodeResponse)).other_person_id

    async def convert_to_online(self, person_id: str, conversion: ConvertToOnlineRequest) -> None:
        """Converts a CD borrower to an online customer (R23), in the person's registration run."""
        request_id = conversion.request_id
        run = Run(
            RegistrationWorkflowNames.WORKFLOW,
            RegistrationWorkflowNames.workflow_id(person_id),
            "Conversion to online customer",
            RegistrationWorkflowInput(person_id=person_id),
            [
                SearchAttributePair(STAGE, stage_name(STAGE_ACTIVE)),
                SearchAttributePair(UNIT, conversion.unit_id),
                SearchAttributePair(KIND, kind_name(CUSTOMER_KIND_ONLINE)),
            ],
        )
        update = ConvertRequest(conversion=conversion)
        await self._update(run, RegistrationWorkflowNames.CONVERT, update, request_id, ConvertResponse)


def _run(workflow: str, workflow_id: str, summary: str, unit_id: str, update: Message) -> Run:
    """A run whose input is its update: it does what the update asks for even if Temporal loses the update."""
    return Run(workflow, workflow_id, summary, update, [SearchAttributePair(UNIT, unit_id)])
