"""Every field of every request of the public API, wrong in every way: each is refused by name."""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from services.runtime.rpc.interceptor import LARGE_REQUEST_BYTES, MAX_REQUEST_BYTES, violations_of
from tests.system.support.calls import CALLS, SERVICES, caller_of, of_service, right
from tests.system.support.public_api import (
    LANGUAGES,
    METHODS,
    Gateway,
    Stores,
    fields_of,
    outcome,
    request_class,
)
from tests.system.support.public_api_facts import Facts
from tests.system.support.walks import walk_storing_nothing

_PATHS = sorted(METHODS)


@dataclass(frozen=True)
class Wrong:
    """A request, wrong in one field."""

    field: str
    how: str
    request: Message


_WRONG_TEXTS: dict[str, Callable[[str], str]] = {
    "too long": lambda text: (text or "x") + "x" * 5000,
    "control": lambda text: f"{text[:1]}\x07{text[1:]}",
    "nul": lambda text: f"{text[:1]}\x00{text[1:]}",
    "newline": lambda text: f"{text}\n",
    "right-to-left": lambda text: f"\u202e{text}",
    "direction mark": lambda text: f"{text}\u200f",
}


_NO_FILE = "no file"


def wrong_requests(valid: Callable[[], Message]) -> Iterator[Wrong]:
    """Each field of a request, and of the messages in it, missing and wrong in every way its type allows."""
    for path in _field_paths(valid()):
        *parents, field = path
        name = ".".join(part.name for part in path)
        for how in ("missing", *_ways(field)):
            request = valid()
            holder: Message = request
            for part in parents:
                holder = getattr(holder, part.name)
            if how == "missing":
                holder.ClearField(field.name)
            elif how == _NO_FILE:
                setattr(holder, field.name, b"\x81\x8d\x8f")
            elif how in _WRONG_TEXTS:
                setattr(holder, field.name, _WRONG_TEXTS[how](getattr(holder, field.name)))
            else:
                setattr(holder, field.name, int(how))
            yield Wrong(name, how, request)


def _field_paths(message: Message) -> Iterator[tuple[FieldDescriptor, ...]]:
    fields: Iterable[Any] = message.DESCRIPTOR.fields
    for field in fields:
        yield (field,)
        if field.type == FieldDescriptor.TYPE_MESSAGE and not (field.is_repeated or _is_well_known(field)):
            for path in _field_paths(getattr(message, field.name)):
                yield (field, *path)


def _is_well_known(field: FieldDescriptor) -> bool:
    """Whether a field's message is one of protobuf's own, such as a moment or a mask."""
    return field.message_type.full_name.startswith("google.protobuf.")


def _ways(field: FieldDescriptor) -> tuple[str, ...]:
    if field.is_repeated:
        return ()
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return tuple(_WRONG_TEXTS)
        case FieldDescriptor.TYPE_ENUM:
            return ("99", "-1")
        case FieldDescriptor.TYPE_INT32:
            return ("-1", "99999", "2147483647")
        case FieldDescriptor.TYPE_BYTES:
            return (_NO_FILE,)
        case FieldDescriptor.TYPE_BOOL | FieldDescriptor.TYPE_MESSAGE:
            return ()
        case other:
            raise AssertionError(f"no way to make a field of type {other} wrong")


@dataclass(frozen=True)
class Answer:
    """What a call is refused with, where it is not the one wrong field."""

    code: str
    reason: str
    fields: tuple[tuple[str, str], ...] = ()


FINE = "fine"
"""The request is right all the same."""

_ANY_TEXT = ("control", "nul", "newline", "right-to-left", "direction mark")

_DEFAULTS = {
    "missing": "REQUIRED",
    "too long": "TOO_LONG",
    "99": "UNKNOWN_VALUE",
    "-1": "UNKNOWN_VALUE",
    **dict.fromkeys(_ANY_TEXT, "FORBIDDEN_CHARACTERS"),
    # Marks come with a copy: they are removed.
    **dict.fromkeys(("right-to-left", "direction mark"), FINE),
}

Answers = dict[str, str | Answer]


def _texts(answer: str | Answer) -> Answers:
    return dict.fromkeys(_ANY_TEXT, answer)


def _always(answer: str | Answer) -> Answers:
    return _texts(answer) | {"missing": answer, "too long": answer}


_OPTIONAL: Answers = {"missing": FINE}
_MARKS_PASSED_OVER: Answers = {"right-to-left": FINE, "direction mark": FINE}
_COPIED: Answers = _MARKS_PASSED_OVER | {"newline": FINE}
_EMPTY_FORM = (
    ("form.first_names", "REQUIRED"),
    ("form.last_name", "REQUIRED"),
    ("form.address", "REQUIRED"),
    ("form.language", "REQUIRED"),
    ("form.entitlement_declared", "ENTITLEMENT_NOT_DECLARED"),
    ("form.school_support", "SCHOOL_SUPPORT_REQUIRED"),
    ("form.kind", "REQUIRED"),
    ("form.applicant", "REQUIRED"),
    ("form.related_person", "REQUIRED"),
    ("form.terms_accepted", "TERMS_NOT_ACCEPTED"),
)
_NOT_FOUND = Answer("NOT_FOUND", "CUSTOMER_NOT_FOUND")
_CHANGED_MEANWHILE = Answer("ABORTED", "CHANGED_MEANWHILE")
_LINK_INVALID = Answer("NOT_FOUND", "LINK_INVALID")
_WRONG_CREDENTIALS = Answer("UNAUTHENTICATED", "WRONG_CREDENTIALS")
_SESSION_ENDED = Answer("UNAUTHENTICATED", "SESSION_ENDED")

EXPECTED: dict[str, Answers] = {
    # The names that also say whose it is are read first.
    "parent": _always("INVALID_FORMAT"),
    "name": _always("INVALID_FORMAT"),
    "request_id": _texts("INVALID_FORMAT") | {"too long": "INVALID_FORMAT"},
    # What is looked up, not kept, may hold anything: it is then not found.
    # A link's token is found among what mail programs add.
    "token": _texts(_LINK_INVALID) | _MARKS_PASSED_OVER | {"newline": FINE},
    "LogIn.email": _texts(_WRONG_CREDENTIALS),
    "LogIn.password": _texts(_WRONG_CREDENTIALS),
    "OrderPassword.email": _texts(FINE),
    "OrderCustomerPassword.user_name_or_email": _texts(FINE),
    "RefreshSession.refresh_token": _texts(_SESSION_ENDED),
    "LogOut.refresh_token": _texts(FINE),
    "wording_version": _texts("UNKNOWN_VALUE"),
    # A password may hold whatever a keyboard gives.
    "ChoosePassword.password": _texts(FINE),
    "ChooseAccountPassword.password": _texts(FINE),
    "AcceptInvitation.password": _texts(FINE),
    "InviteRegistrar.email": _texts("INVALID_EMAIL") | _COPIED,
    "ListUnits.query": _OPTIONAL,
    "show_closed": _OPTIONAL,
    "name_must_be_new": _OPTIONAL,
    "overdue": _OPTIONAL,
    "personal_identity_code": _texts("HETU_FORMAT") | _COPIED | {"missing": "HETU_FORMAT"},
    "RegisterCustomer.personal_identity_code": {
        "missing": Answer("INVALID_ARGUMENT", "REQUIRED", (("identification", "REQUIRED"),))
    },
    # It stands for the registration, which is filled in.
    "CreateDisclosure.personal_identity_code": _texts("HETU_FORMAT") | {"missing": FINE},
    "CreateDisclosure.registration": _texts("INVALID_FORMAT")
    | {
        "too long": "INVALID_FORMAT",
        "missing": Answer("INVALID_ARGUMENT", "REQUIRED", (("person", "REQUIRED"),)),
    },
    "GetDisclosure.name": {"missing": "REQUIRED"},
    "ExtendNeed.expected_end_date": _OPTIONAL,
    "LinkToCustomer.customer": _texts("INVALID_FORMAT") | {"too long": "INVALID_FORMAT"},
    "RejectRegistration.note": {"newline": FINE},
    "GetBookTips.name": {"missing": "REQUIRED"},
    "book_tips.name": _texts("INVALID_FORMAT") | {"too long": "INVALID_FORMAT"},
    "book_tips.etag": _texts(_CHANGED_MEANWHILE),
    "book_tips.tips": {"missing": "INVALID_FORMAT"},
    "book_tips.update_time": _OPTIONAL,
    # Who it is comes first.
    "SetPersonalIdentityCode.personal_identity_code": _texts(_NOT_FOUND)
    | {"newline": FINE, "missing": _NOT_FOUND},
    "MergeCustomers.personal_identity_code_of": {"missing": _NOT_FOUND},
    # One of the two is enough, and nobody among those who are asked about is protected.
    "GetProtectedDetails.name": _always("INVALID_FORMAT")
    | {"missing": Answer("INVALID_ARGUMENT", "REQUIRED", (("person", "REQUIRED"),))},
    "GetProtectedDetails.personal_identity_code": _texts("HETU_FORMAT")
    | _COPIED
    | {"missing": Answer("FAILED_PRECONDITION", "NOT_PROTECTED")},
    # It stands for the code.
    "TransferCustomer.message": _texts("INVALID_FORMAT") | {"too long": "INVALID_FORMAT"} | _OPTIONAL,
    "UndoMerge.merged_customer": _texts("INVALID_FORMAT") | {"too long": "INVALID_FORMAT"},
    "MergeCustomers.merged_customer": _texts("INVALID_FORMAT") | {"too long": "INVALID_FORMAT"},
    "ConvertToOnline.email": dict.fromkeys(_ANY_TEXT, _NOT_FOUND) | {"missing": _NOT_FOUND},
    "ConvertToOnline.credentials_recipient": {"missing": _NOT_FOUND},
    "etag": dict.fromkeys(_ANY_TEXT, _CHANGED_MEANWHILE),
    **dict.fromkeys(("UpdateCustomer.form", "UpdateRegistration.form"), _OPTIONAL),
    "UpdateOwnContactData.form": {"missing": _LINK_INVALID},
    # That it was changed meanwhile is told before what is wrong with it; nothing is there already.
    "UpdateRegistration.form.additional_information": _always(_CHANGED_MEANWHILE) | _OPTIONAL,
    "page_size": {"missing": FINE, "-1": "INVALID_FORMAT", "99999": FINE, "2147483647": FINE},
    "page_token": _texts("INVALID_PAGE_TOKEN") | _OPTIONAL,
    # Whose it is comes first.
    "UpdateOwnContactData.form.phone": _always(_LINK_INVALID),
    "UpdateOwnContactData.etag": _texts(_LINK_INVALID),
    "ListOwnUses.page_token": _texts(_LINK_INVALID) | _OPTIONAL,
    **dict.fromkeys(("stage", "stages", "mine", "due_before_date", "order_by", "undeliverable"), _OPTIONAL),
    **dict.fromkeys(("SearchCustomers.query", "need_ends_before_date", "not_welcomed"), _OPTIONAL),
    "content": {_NO_FILE: "CLASS_LIST_OLD_LETTERS"},
    **dict.fromkeys(("skip_wrong_rows", "transfer_rows", "confirmed_address_rows", "annotate"), _OPTIONAL),
    "CloseUnit.successor": _always("INVALID_FORMAT") | {"missing": Answer("NOT_FOUND", "UNIT_NOT_FOUND")},
    # Such a report is of no mail of ours, and takes the place of the Message-ID.
    "raw_report": {_NO_FILE: FINE} | _OPTIONAL,
    "message_id": _texts(Answer("NOT_FOUND", "MESSAGE_NOT_FOUND"))
    | {"missing": Answer("INVALID_ARGUMENT", "REQUIRED", (("report", "REQUIRED"),))},
    "status": _always("INVALID_FORMAT") | {"missing": Answer("NOT_FOUND", "MESSAGE_NOT_FOUND")},
    "validate_only": _OPTIONAL,
    "guardian_email_confirmed": _OPTIONAL,
    "recipient": _OPTIONAL,
    "form.address.country_code": _always("INVALID_FORMAT") | _MARKS_PASSED_OVER | _OPTIONAL,
    "form.email": _texts("INVALID_EMAIL") | _COPIED | _OPTIONAL,
    # A number copied from a page may come with marks of direction: only its digits are kept.
    "form.phone": _texts("INVALID_PHONE") | _MARKS_PASSED_OVER | _OPTIONAL,
    "form": {"missing": Answer("INVALID_ARGUMENT", "REQUIRED", _EMPTY_FORM)},
    "consent": {
        "missing": Answer(
            "INVALID_ARGUMENT",
            "REQUIRED",
            (("consent.guardian_name", "REQUIRED"), ("consent.sign_date", "REQUIRED")),
        )
    },
    "form.entitlement_declared": {"missing": "ENTITLEMENT_NOT_DECLARED"},
    # One name is enough.
    **dict.fromkeys(("form.first_names", "form.last_name"), _OPTIONAL),
    "form.print_disability": _OPTIONAL,
    "form.school_support": {"missing": "SCHOOL_SUPPORT_REQUIRED"},
    "form.temporary": {
        "missing": Answer("INVALID_ARGUMENT", "NOT_TEMPORARY", (("form.expected_end_date", "NOT_TEMPORARY"),))
    },
    "form.expected_end_date": _OPTIONAL,
    "form.related_person": {
        "missing": Answer(
            "INVALID_ARGUMENT",
            "REQUIRED",
            (
                ("form.related_person", "REQUIRED"),
                ("form.related_person.email", "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"),
            ),
        )
    },
    "form.related_person.email": _texts("INVALID_EMAIL")
    | _COPIED
    | {"missing": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"},
    "form.related_person.phone": _texts("INVALID_PHONE") | _MARKS_PASSED_OVER | _OPTIONAL,
    "form.related_person.relation": _OPTIONAL,
    "form.paper_consent": _OPTIONAL,
    "form.terms_accepted": {"missing": "TERMS_NOT_ACCEPTED"},
    "form.marketing_allowed": _OPTIONAL,
    "form.disability_storage_allowed": {
        "missing": Answer(
            "INVALID_ARGUMENT",
            "DISABILITY_STORAGE_NOT_ALLOWED",
            (("form.print_disability", "DISABILITY_STORAGE_NOT_ALLOWED"),),
        )
    },
    "form.additional_information": _OPTIONAL | {"newline": FINE},
    "form.protected_person": _OPTIONAL,
    # Staff name an item of work for no unit: the contract reads its name.
    **{
        f"{rpc}.name": {"missing": "REQUIRED"}
        for rpc in (
            "GetWorkItem",
            "ClaimWorkItem",
            "ReleaseWorkItem",
            "DismissDuplicate",
            "AcknowledgeDissent",
        )
    },
    "SendMessage.registration": _always("INVALID_FORMAT")
    | {"missing": Answer("INVALID_ARGUMENT", "REQUIRED", (("about", "REQUIRED"),))},
    # The message is about a registration already.
    "SendMessage.customer": _always("INVALID_FORMAT") | _OPTIONAL,
    "SendMessage.context": _OPTIONAL,
    "SendMessage.text": {"newline": FINE},
    "CloseMessage.answer": {"newline": FINE},
    "SendFeedback.sender_name": _OPTIONAL,
    "SendFeedback.sender_email": _texts("INVALID_EMAIL") | _COPIED | _OPTIONAL,
    "SendFeedback.text": {"newline": FINE},
    "AnswerFeedback.answer": {"newline": FINE},
    **{f"{rpc}.name": {"missing": "REQUIRED"} for rpc in ("GetFeedback", "AnswerFeedback")},
    "ListMessages.state": _OPTIONAL,
    # Only its letters and digits count.
    "FindMessage.reference": _texts(FINE),
    "FindRegistrations.reference": _texts(FINE),
    **dict.fromkeys(("kinds", "claims"), _OPTIONAL),
    # What a search is for may be left out.
    **dict.fromkeys(("subject_id", "account_id", "unit", "action"), _always("INVALID_FORMAT") | _OPTIONAL),
    **dict.fromkeys(("start_time", "end_time"), _OPTIONAL),
}
"""What differs from the defaults, by field, or by RPC and field."""

_WITHOUT_CODE = "missing_personal_identity_code"
_OTHER_GUARDIAN = "form.other_guardian"

_MASKED = {
    "UpdateCustomer": "form.phone",
    "UpdateRegistration": "form.additional_information",
    "UpdateOwnContactData": "form.phone",
}
"""The field that the request's mask names."""

_NOTHING_REQUIRED = {"GetFigures", "ListUses", "ListSuspicions", "ListUnits", "ListWorkItems"}
"""An empty request asks for everything."""

_NUMBERS_COUNT_FOR_NOTHING = _NOTHING_REQUIRED - {"ListWorkItems"}
"""Of these, the RPCs without enums in the request."""

_READING = _NOTHING_REQUIRED | {
    "CheckPersonalIdentityCode",
    "GetRegistration",
    "ListRegistrations",
    "SearchCustomers",
    "ListClassLists",
    "GetConsentRequest",
    "GetDisclosure",
    "GetUnit",
    "GetUnitSummary",
    "GetUnitClosing",
    "ListRegistrars",
    "GetInvitation",
    "ExplainRegistration",
    "GetMessage",
    "ListMessages",
    "FindMessage",
    "FindRegistrations",
    "GetWorkItem",
    "LogOut",
}


def expected(rpc: str, wrong: Wrong) -> str | Answer:
    """What a wrong request is answered with: the reason for its one wrong field, or something else."""
    holder, _, part = wrong.field.rpartition(".")
    if wrong.field.startswith(_OTHER_GUARDIAN) and rpc not in _MASKED:
        return _answer_of_other_guardian(wrong, part)
    if wrong.field.partition(".")[0] == _WITHOUT_CODE:
        return _answer_without_code(wrong, part)
    if rpc in _MASKED and holder.partition(".")[0] == "form" and wrong.field != _MASKED[rpc]:
        # What the mask does not name may hold anything: it does not count.
        return FINE
    if holder.endswith("_date") and part in {"year", "month", "day"}:
        return Answer("INVALID_ARGUMENT", "INVALID_DATE", ((holder, "INVALID_DATE"),))
    for place in (f"{rpc}.{wrong.field}", wrong.field):
        if wrong.how in EXPECTED.get(place, {}):
            return EXPECTED[place][wrong.how]
    return _DEFAULTS[wrong.how]


def _answer_without_code(wrong: Wrong, part: str) -> str | Answer:
    """Of what is told instead of a code: it takes the code's place as soon as anything in it is set."""
    if wrong.how == "missing":
        return FINE
    birth_date, reason = ("REQUIRED", "UNKNOWN_VALUE") if part == "reason" else ("INVALID_DATE", "REQUIRED")
    fields = ((f"{_WITHOUT_CODE}.birth_date", birth_date), (f"{_WITHOUT_CODE}.reason", reason))
    return Answer("INVALID_ARGUMENT", birth_date, fields)


def _answer_of_other_guardian(wrong: Wrong, part: str) -> str | Answer:
    """The consent is on paper, so nobody else is asked: told as soon as another guardian is given at all."""
    if wrong.field == _OTHER_GUARDIAN:
        return FINE
    reasons = {"too long": "TOO_LONG"}
    if part in {"full_name", "relation"}:
        reasons |= dict.fromkeys(("control", "nul"), "FORBIDDEN_CHARACTERS")
    name, found = f"{_OTHER_GUARDIAN}.full_name", reasons.get(wrong.how)
    fields = [(_OTHER_GUARDIAN, "OTHER_GUARDIAN_NOT_ASKED"), (name, "REQUIRED")]
    if found and wrong.field == name:
        fields[1] = (name, found)
    elif found:
        fields.append((wrong.field, found))
    return Answer("INVALID_ARGUMENT", "OTHER_GUARDIAN_NOT_ASKED", tuple(fields))


def test_no_rpc_is_left_out() -> None:
    assert sorted(CALLS) == _PATHS


@pytest.mark.parametrize("service", SERVICES)
async def test_each_wrong_field_is_named(
    gateway: Gateway, facts: Facts, stores: Stores, service: str
) -> None:
    """The languages take turns: which text belongs to a reason does not depend on the field."""

    async def check(path: str) -> None:
        caller = caller_of(path)
        rpc = path.rpartition("/")[2]
        languages = itertools.cycle(LANGUAGES)
        surprises = []
        for wrong in wrong_requests(lambda: right(path, facts)):
            answer = expected(rpc, wrong)
            if answer == FINE:
                if rpc in _READING:
                    await gateway.call(path, wrong.request, caller)
                continue
            if isinstance(answer, str):
                answer = Answer("INVALID_ARGUMENT", answer, ((wrong.field, answer),))
            try:
                refusal = await gateway.refusal(path, wrong.request, caller, language=next(languages))
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - told with the others
                surprises.append(f"{wrong.field} {wrong.how}: {type(error).__name__}: {error}")
                continue
            actual = Answer(*outcome(refusal), tuple(fields_of(refusal)))
            if actual != answer:
                surprises.append(f"{wrong.field} {wrong.how}: {actual}")
        assert not surprises, "\n".join(surprises)

    await walk_storing_nothing(stores, {path: partial(check, path) for path in of_service(service, _PATHS)})


async def test_an_empty_message_is_refused(gateway: Gateway, stores: Stores) -> None:
    async def check(path: str) -> None:
        if path.rpartition("/")[2] in _NOTHING_REQUIRED:
            await gateway.call(path, b"", caller_of(path))
            return
        refusal = await gateway.refusal(path, b"", caller_of(path))
        assert refusal.code.name == "INVALID_ARGUMENT"
        assert refusal.violations

    await walk_storing_nothing(stores, {path: partial(check, path) for path in _PATHS})


_SENT_IN_ANY_CASE = 20
"""Lengths of random messages that are sent to every RPC though the contract alone refuses them."""


def _contract_refuses(path: str, body: bytes) -> bool:
    """Whether the bytes are no message, or one that the contract refuses: as the interceptor tells it."""
    try:
        return bool(violations_of(request_class(path).FromString(body)))
    except DecodeError:
        return True


async def test_what_is_no_message_is_refused(gateway: Gateway, stores: Stores) -> None:
    """Of random bytes those are sent that come past the contract, and some of the others."""
    no_messages = [
        b"\xff\xff\xff",
        b"\x0a\x01\xff",  # the first field is text, and this is no UTF-8
        b"\x0a\xff",  # it ends within a length
        b"\x0b" * 200,  # groups without an end
        b"\x22" + b"\xff" * 9 + b"\x01",
    ]

    async def check(path: str) -> None:
        randomness = random.Random(path)  # noqa: S311 - the same bytes each time
        for body, language in zip(no_messages, itertools.cycle(LANGUAGES)):
            if not _contract_refuses(path, body):
                # Fields that a request without fields of its own does not know.
                continue
            refusal = await gateway.refusal(path, body, caller_of(path), language=language)
            assert outcome(refusal) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
        if path.rpartition("/")[2] in _NOTHING_REQUIRED:
            return
        for length in range(1, 200):
            # Some of it is a message, of fields nobody knows: then what is required is missing.
            body = randomness.randbytes(length)
            if length <= _SENT_IN_ANY_CASE or not _contract_refuses(path, body):
                refusal = await gateway.refusal(path, body, caller_of(path))
                assert refusal.code.name == "INVALID_ARGUMENT", body

    await walk_storing_nothing(stores, {path: partial(check, path) for path in _PATHS})


async def test_fields_of_another_type_do_not_count(gateway: Gateway, stores: Stores) -> None:
    numbers = b"".join(bytes([number << 3, 7]) for number in range(1, 16))

    async def check(path: str) -> None:
        if path.rpartition("/")[2] in _NUMBERS_COUNT_FOR_NOTHING:
            await gateway.call(path, numbers, caller_of(path))
            return
        refusal = await gateway.refusal(path, numbers, caller_of(path))
        assert refusal.code.name == "INVALID_ARGUMENT"
        assert refusal.violations

    await walk_storing_nothing(stores, {path: partial(check, path) for path in _PATHS})


async def test_a_message_too_large_is_refused(gateway: Gateway, facts: Facts, stores: Stores) -> None:
    padding = b"\xfa\x7f"  # field 2047, which no message has

    async def check(path: str) -> None:
        body = right(path, facts).SerializeToString()
        most = LARGE_REQUEST_BYTES.get(path, MAX_REQUEST_BYTES)
        refusal = await gateway.refusal(path, _padded(body, padding, most + 1), caller_of(path))
        assert outcome(refusal) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")
        # gRPC itself refuses what the gateway should not even take into its memory: without our details.
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await gateway.call(path, _padded(body, padding, 5 * 1024 * 1024), caller_of(path))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    await walk_storing_nothing(stores, {path: partial(check, path) for path in _PATHS})


def _padded(body: bytes, tag: bytes, size: int) -> bytes:
    length = size - len(body) - len(tag) - 4
    varint = bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14 & 127 | 128, length >> 21])
    return body + tag + varint + bytes(length)
