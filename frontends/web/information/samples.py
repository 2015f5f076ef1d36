"""What the page of parts shows in them: made-up people, so that each part stands there in every state."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from frontends.web.comparing import compare
from frontends.web.forms import Form
from frontends.web.registrations.fields import NEW_CUSTOMER
from liity.v1.class_list_service_pb2 import ClassListState
from liity.v1.consent_service_pb2 import ConsentWording
from liity.v1.customer_form_pb2 import AddressSuggestion, CustomerForm
from liity.v1.message_service_pb2 import MessageState
from liity.v1.registration_pb2 import Stage
from liity.v1.registration_service_pb2 import ExplainRegistrationResponse
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_IDENTITY_CHECK, WorkItem, WorkSubject

_ARABIC, _LONG = "عبد الرحمن", "Äärimmäisen-Pitkäsukunimi" * 3
_SAMI = "Áile Čuŋŋá Đuoršŧŋaž"
_PAST, _FUTURE = Timestamp(seconds=1_700_000_000), Timestamp(seconds=4_000_000_000)


def samples() -> Mapping[str, Any]:
    """The values of the template, by name."""
    empty, wrong = Form(NEW_CUSTOMER), Form(NEW_CUSTOMER)
    wrong.values = {"first_names": _ARABIC, "last_name": _LONG}
    wrong.errors = {each.path: "Error" for each in wrong.fields}
    wrong.general = ["General error"]
    return {
        "empty": empty,
        "wrong": wrong,
        "names": [_ARABIC, _LONG, _SAMI],
        "stages": [{"stage": value} for value in Stage.values() if value],
        "message_states": [{"state": value} for value in MessageState.values() if value],
        "class_list_states": [{"state": value} for value in ClassListState.values() if value],
        "past": _PAST,
        "future": _FUTURE,
        "why": _why(),
        "pair": compare("Comparison", ("One", _person("Aino")), ("Other", _person(_ARABIC))),
        "item": WorkItem(
            name="workItems/sample",
            kind=WORK_ITEM_KIND_IDENTITY_CHECK,
            subjects=[WorkSubject(display_name=_SAMI), WorkSubject(display_name=_LONG)],
            create_time=_PAST,
        ),
        "suggestions": [AddressSuggestion(field="email", suggested="aino@posti.example")],
        "wording": ConsentWording(version="1", text="First paragraph.\n\nSecond paragraph."),
    }


def _person(first_names: str) -> CustomerForm:
    return CustomerForm(first_names=first_names, last_name=_LONG, phone="040 1234567")


def _why() -> ExplainRegistrationResponse:
    why = ExplainRegistrationResponse(summary="The summary.")
    why.password.text = "What is known of the password."
    why.waits.add(text="What is waited for.")
    why.next.time.CopyFrom(_FUTURE)
    why.next.text = "What comes next."
    why.events.add(time=_PAST, text="What has happened.", who=_SAMI)
    return why
