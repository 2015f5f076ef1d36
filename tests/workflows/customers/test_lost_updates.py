"""An update that Temporal has lost: the run performs it from its input, on behalf of who asked."""

import uuid
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowUpdateHandle,
)
from temporalio.service import RPCError, RPCStatusCode

from liity.registration.v1.customer_service_pb2 import MergeCustomersRequest, TransferCustomerRequest
from liity.registration.v1.registration_service_pb2 import Registrar
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT
from liity.v1.customer_service_pb2 import CODE_OF_MERGED
from liity.workflows.v1.transfer_workflow_pb2 import TransferRequest
from services.gateway.temporal.customers import CustomerWorkflows
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import TASK_QUEUE, MergeWorkflowNames, TransferWorkflowNames
from tests.services.registration.audit.uses import acting_as, an_account
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born
from tests.workflows.customers.test_transfer import address, told

GIVEN_UP = timedelta(minutes=11)
"""After so long a run waits no more for its update."""


class LosesUpdates(Interceptor):
    """Starts runs, but their updates are lost on the way."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Loses(next)


class _Loses(OutboundInterceptor):
    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        given: dict[str, Any] = dict.fromkeys(field.name for field in fields(StartWorkflowInput))
        given |= {"start_signal_args": [], "rpc_metadata": {}, "request_eager_start": False}
        given |= vars(input.start_workflow_input)
        await self.next.start_workflow(StartWorkflowInput(**given))
        raise RPCError("lost", RPCStatusCode.UNKNOWN, b"")


def losing_client(world: World) -> Client:
    """A client whose updates are lost once the run is started."""
    config = world.temporal.config()
    # The innermost interceptor comes last.
    interceptors = [*config["interceptors"], LosesUpdates()]
    return Client(**{**config, "interceptors": interceptors})


def losing(world: World) -> CustomerWorkflows:
    """The gateway's way to workflows, whose updates are lost once the run is started."""
    return CustomerWorkflows(losing_client(world))


async def test_a_lost_transfer_is_made(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    unit_id, request_id = await world.unit(), str(uuid.uuid4())
    mover = await world.account(unit_id)
    transfer = TransferCustomerRequest(
        request_id=request_id,
        person_id=registration.person_id,
        unit_id=unit_id,
        registrar=Registrar(account_id=mover.account_id, display_name=mover.display_name),
    )
    with pytest.raises(Refusal):
        await acting_as(an_account(mover.account_id), losing(world).transfer(transfer))
    assert (await world.customer(registration)).unit_id == registration.unit_id
    run = world.temporal.get_workflow_handle(TransferWorkflowNames.workflow_id(request_id))
    await world.skip(run, GIVEN_UP)
    await run.result()

    assert (await world.customer(registration)).unit_id == unit_id
    assert len(told(world, REGISTRARS_ADDRESS, registration.registration_id)) == 1
    (use,) = await world.rows(
        "registration",
        "SELECT actor_kind, account_id FROM use_entries"
        " WHERE action = 'customer:transfer' AND subject_ids @> ARRAY[CAST(:person AS varchar)]",
        person=registration.person_id,
    )
    assert (use["actor_kind"], use["account_id"]) == (ACTOR_KIND_ACCOUNT, mover.account_id)


async def test_a_lost_merge_is_made_in_both_services(world: World) -> None:
    kept_registration, _ = await world.save(adult_form(address()), born(40))
    merged_registration, _ = await world.save(adult_form(address()), born(40))
    kept, merged = await world.customer(kept_registration), await world.customer(merged_registration)
    request = MergeCustomersRequest(
        request_id=str(uuid.uuid4()),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=merged.customer_id,
        merged_unit_id=merged.unit_id,
        merger=world.registrar,
    )
    with pytest.raises(Refusal):
        await losing(world).merge(request, CODE_OF_MERGED)
    run = world.temporal.get_workflow_handle(MergeWorkflowNames.workflow_id(request.request_id))
    await world.skip(run, GIVEN_UP)
    await run.result()

    merges = "SELECT 1 FROM merges WHERE merged_person_id = :person"
    assert len(await world.rows("registration", merges, person=merged_registration.person_id)) == 1
    persons = "SELECT merged_into FROM persons WHERE person_id = :person"
    (person,) = await world.rows("identity", persons, person=merged_registration.person_id)
    assert person["merged_into"] == kept_registration.person_id


async def test_a_run_that_somebody_else_has_started_performs_nothing(world: World) -> None:
    """Only the gateway's seal on the start makes the input count: the update's handler is never asked."""
    registration, _ = await world.save(adult_form(address()), born(40))
    unit_id, request_id = await world.unit(), str(uuid.uuid4())
    transfer = TransferCustomerRequest(
        request_id=request_id, person_id=registration.person_id, unit_id=unit_id, registrar=world.registrar
    )
    run = await world.temporal.start_workflow(
        TransferWorkflowNames.WORKFLOW,
        TransferRequest(transfer=transfer),
        id=TransferWorkflowNames.workflow_id(request_id),
        task_queue=TASK_QUEUE,
    )
    await world.skip(run, GIVEN_UP)
    await run.result()
    assert (await world.customer(registration)).unit_id == registration.unit_id
