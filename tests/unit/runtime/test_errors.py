"""Refusals and their way over the wire; the text of each reason; and that each reason is of use."""

import re
import string
from collections import Counter
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

import services
from frontends.refusals import FieldViolation as FrontendViolation
from frontends.refusals import Refusal as FrontendRefusal
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_UNSPECIFIED, Language
from liity.v1.reason_pb2 import (
    REASON_INTERNAL,
    REASON_INVALID_POSTCODE,
    REASON_LINK_VOID,
    REASON_REQUIRED,
    REASON_TOO_MANY_ATTEMPTS,
    REASON_UNAVAILABLE,
    Reason,
)
from services.runtime.rpc.errors import (
    Contact,
    FieldViolation,
    Refusal,
    invalid,
    is_permanent,
    reason_name,
    reason_value,
    resource_exhausted,
)
from services.runtime.rpc.texts import language_of, reason_text

CONTACT = Contact("help@liity.example", "https://liity.example/contact")
LANGUAGES = (LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_EN)
REASONS: list[Reason.ValueType] = [number for number in Reason.values() if number]
NAMES = {reason_name(reason) for reason in REASONS}
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def received(status: status_pb2.Status) -> Refusal:
    """A refusal as the caller sees it."""
    return Refusal.from_rpc_error(_error(rpc_status.to_status(status)))


def _error(status: grpc.Status) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        status.code,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*status.trailing_metadata),
        details=status.details,
    )


def test_what_is_said_once_is_not_repeated() -> None:
    text = "The postcode is wrong."
    wrong = FrontendViolation("form.address.postcode", REASON_INVALID_POSTCODE, text)
    alone = FrontendRefusal(
        grpc.StatusCode.INVALID_ARGUMENT, REASON_INVALID_POSTCODE, text, violations=[wrong]
    )
    assert alone.lines() == [f"  form.address.postcode: {text} (INVALID_POSTCODE)"]
    two = FrontendRefusal(
        grpc.StatusCode.INVALID_ARGUMENT, REASON_INVALID_POSTCODE, text, violations=[wrong, wrong]
    )
    assert len(two.lines()) == 3


@pytest.mark.parametrize(
    ("seconds", "told"), [(1, "1 s"), (119, "119 s"), (120, "2 minutes"), (892, "15 minutes")]
)
def test_a_long_wait_is_told_in_minutes(seconds: float, told: str) -> None:
    refusal = FrontendRefusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        REASON_TOO_MANY_ATTEMPTS,
        "Later.",
        retry_after=timedelta(seconds=seconds),
    )
    assert refusal.lines()[1:] == [f"  Again in {told}"]


def same(refusal: Refusal) -> tuple[object, ...]:
    return refusal.code, refusal.reason, refusal.violations, refusal.retry_after


@given(
    code=st.sampled_from(CODES),
    reason=st.sampled_from(REASONS),
    violations=st.lists(
        st.builds(FieldViolation, st.text(string.ascii_lowercase + "._"), st.sampled_from(REASONS)),
        max_size=5,
    ),
    retry_after=st.none() | st.timedeltas(timedelta(0), timedelta(days=1)),
    language=st.sampled_from(LANGUAGES),
    contact=st.sampled_from([None, CONTACT]),
)
def test_a_refusal_comes_as_it_went(
    code: grpc.StatusCode,
    reason: Reason.ValueType,
    violations: list[FieldViolation],
    retry_after: timedelta | None,
    language: Language.ValueType,
    contact: Contact | None,
) -> None:
    refusal = Refusal(code, reason, violations=violations, retry_after=retry_after)
    came = received(refusal.to_status(language, contact))
    assert same(came) == same(refusal)
    assert came.contact == contact


@pytest.mark.parametrize(
    ("language", "locale"), [(LANGUAGE_FI, "fi"), (LANGUAGE_SV, "sv"), (LANGUAGE_EN, "en")]
)
def test_its_texts_are_in_the_language_asked_for(language: Language.ValueType, locale: str) -> None:
    refusal = invalid([FieldViolation("form.address.postcode", REASON_INVALID_POSTCODE)])
    status = refusal.to_status(language, CONTACT)
    found = {detail.type_url.rpartition(".")[2]: detail for detail in status.details}
    localized = error_details_pb2.LocalizedMessage()
    found["LocalizedMessage"].Unpack(localized)
    wrong = error_details_pb2.BadRequest()
    found["BadRequest"].Unpack(wrong)
    text = reason_text(REASON_INVALID_POSTCODE, language)
    assert (localized.locale, localized.message, status.message) == (locale, text, text)
    assert wrong.field_violations[0].description == text
    assert status.code == code_pb2.INVALID_ARGUMENT
    assert set(found) == {"ErrorInfo", "BadRequest", "LocalizedMessage", "Help"}


def test_when_to_come_back_is_told() -> None:
    refusal = resource_exhausted(REASON_TOO_MANY_ATTEMPTS, timedelta(seconds=90))
    assert received(refusal.to_status()).retry_after == timedelta(seconds=90)


def test_the_first_wrong_field_gives_the_whole_its_reason() -> None:
    refusal = invalid([FieldViolation("a", REASON_REQUIRED), FieldViolation("b", REASON_INVALID_POSTCODE)])
    assert refusal.reason == REASON_REQUIRED
    assert str(refusal) == "INVALID_ARGUMENT REQUIRED (a: REQUIRED, b: INVALID_POSTCODE)"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, REASON_UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, REASON_UNAVAILABLE),
        # A server that dies during the call resets its streams.
        (grpc.StatusCode.INTERNAL, REASON_UNAVAILABLE),
        (grpc.StatusCode.CANCELLED, REASON_UNAVAILABLE),
        (grpc.StatusCode.UNIMPLEMENTED, REASON_INTERNAL),
        (grpc.StatusCode.UNKNOWN, REASON_INTERNAL),
        (grpc.StatusCode.PERMISSION_DENIED, REASON_INTERNAL),
    ],
)
def test_an_error_without_our_details_is_the_peers_fault_or_its_absence(
    code: grpc.StatusCode, reason: Reason.ValueType
) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="something")
    refusal = Refusal.from_rpc_error(error)
    assert refusal.reason == reason
    assert refusal.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}


def test_a_reason_of_another_domain_is_not_taken_for_ours() -> None:
    status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="no")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="UNIT_NOT_FOUND", domain="example.org"))
    assert received(status).reason == REASON_INTERNAL


def test_a_reason_of_a_newer_release_is_internal() -> None:
    assert reason_value("SOMETHING_OF_THE_FUTURE") == REASON_INTERNAL


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_a_name_and_its_name_the_reason(reason: Reason.ValueType) -> None:
    assert reason_value(reason_name(reason)) == reason


@pytest.mark.parametrize("code", CODES)
def test_only_what_may_pass_is_tried_again(code: grpc.StatusCode) -> None:
    passing = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"}
    of_a_key_or_a_clock = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    assert is_permanent(code) == (code.name not in passing | of_a_key_or_a_clock | {"INTERNAL", "UNKNOWN"})


# Texts


@pytest.mark.parametrize(
    ("language", "ended", "otherwise"),
    [
        (
            LANGUAGE_FI,
            "päättynyt tai muuttunut",
            "muuten ota yhteyttä Saavutettavuuskirjaston",
        ),
        (LANGUAGE_SV, "avslutats eller ändrats", "kontakta annars Tillgänglighetsbibliotekets kundtjänst"),
        (
            LANGUAGE_EN,
            "has ended or changed",
            "otherwise contact the Accessibility Library's",
        ),
    ],
    ids=["fi", "sv", "en"],
)
def test_a_void_link_may_have_no_newer_one(language: Language.ValueType, ended: str, otherwise: str) -> None:
    """A merge, an end, a transfer and a withdrawal make a link void, too (case 38)."""
    text = reason_text(REASON_LINK_VOID, language)
    assert ended in text
    assert otherwise in text


@pytest.mark.parametrize("reason", REASONS, ids=reason_name)
def test_each_reason_has_its_own_text_in_each_language(reason: Reason.ValueType) -> None:
    texts = [reason_text(reason, language) for language in LANGUAGES]
    assert len(set(texts)) == 3
    for text in texts:
        assert text.strip() == text
        assert text.endswith((".", "?", "!"))
        assert not re.search(r"[{}%\n]", text)
    assert reason_text(reason, LANGUAGE_UNSPECIFIED) == texts[0]


def test_no_text_is_for_no_reason() -> None:
    text = (Path(services.__path__[0]) / "runtime" / "rpc" / "texts.toml").read_text("utf-8")
    assert sorted(re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)) == sorted(NAMES)


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("", LANGUAGE_FI),
        ("sv", LANGUAGE_SV),
        ("sv-FI", LANGUAGE_SV),
        ("EN-gb;q=0.3", LANGUAGE_EN),
        ("de,en;q=0.5,sv;q=0.9", LANGUAGE_EN),
        ("*", LANGUAGE_FI),
        ("unspecified,en", LANGUAGE_EN),
        ("\u202een", LANGUAGE_FI),
    ],
)
def test_the_language_is_the_first_we_speak(asked: str, language: Language.ValueType) -> None:
    assert language_of(asked) == language


@given(st.text())
def test_whatever_is_asked_a_language_is_given(asked: str) -> None:
    assert language_of(asked) in LANGUAGES


# Use


def test_no_reason_is_without_use() -> None:
    """Whoever reads the contract may count on each reason to come up."""
    root = Path(services.__path__[0]).parent
    code = "\n".join(
        path.read_text("utf-8")
        for folder in ("services", "workflows")
        for path in (root / folder).rglob("*.py")
        if "migrations" not in path.parts
    )
    # Once where it is imported is not yet used.
    named = Counter(re.findall(r"\bREASON_(\w+)", code))
    assert {name for name in NAMES if named[name] <= 1} == set()
