"""What can be done about mail that could not be delivered depends on whom it was about."""

import pytest

from liity.registration.v1.work_service_pb2 import WorkItem, WorkSubject
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE
from liity.v1.registration_pb2 import (
    ACTION_EDIT,
    ACTION_RECORD_CONSENT,
    ACTION_SEND_CREDENTIALS,
    ACTION_WITHDRAW,
    PARTY_CUSTOMER_SERVICE,
    PARTY_REGISTRAR,
    Action,
)
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_UNDELIVERABLE_MAIL
from services.gateway.api.worklist import to_public


@pytest.mark.parametrize(
    ("subject", "actions"),
    [
        (
            WorkSubject(customer_id="c", customer_kind=CUSTOMER_KIND_ONLINE),
            [ACTION_EDIT, ACTION_SEND_CREDENTIALS],
        ),
        (WorkSubject(customer_id="c", customer_kind=CUSTOMER_KIND_CD_BORROWER), [ACTION_EDIT]),
        (WorkSubject(registration_id="r"), [ACTION_EDIT, ACTION_RECORD_CONSENT, ACTION_WITHDRAW]),
    ],
)
def test_only_what_can_succeed_is_offered(subject: WorkSubject, actions: list[Action.ValueType]) -> None:
    item = WorkItem(work_item_id="3-c", kind=WORK_ITEM_KIND_UNDELIVERABLE_MAIL, subjects=[subject])
    offered = to_public(item).available_actions
    assert [available.action for available in offered] == actions
    assert all(list(one.parties) == [PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE] for one in offered)
