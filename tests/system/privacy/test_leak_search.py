"""The search for leaks finds one in each place, and takes nothing for one that is none."""

import asyncio
import secrets
from email.header import Header
from inspect import unwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from deploy.demo.forms import DemoPerson
from deploy.local.mailbox.store import Maildir
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from liity.v1.auth_service_pb2 import LogInResponse, Session
from liity.v1.consent_service_pb2 import GetConsentRequestRequest
from liity.v1.customer_form_pb2 import PaperConsent
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.search_attributes import UNIT
from tests.system.support.leaks import Leak, LeakWatch, Traffic, watched
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import pupil, save_request


@pytest.fixture
def marker() -> str:
    """A value that no other test knows."""
    return f"Ääkkönen-Öljylä-{secrets.token_hex(4)}"


@pytest.fixture
def place(stack: Stack, tmp_path: Path) -> Stack:
    """Looks like a stack: empty logs and mail, and a Temporal that works."""
    for folder in ("logs", "mail", "temporal"):
        (tmp_path / folder).mkdir()
    return cast(Stack, SimpleNamespace(folder=tmp_path, logs=tmp_path / "logs", ports=stack.ports))


@pytest.fixture
async def watch(place: Stack, marker: str) -> LeakWatch:
    """A watch that knows one value, and has seen all there is so far."""
    watch = LeakWatch(Traffic())
    assert await watch.new_leaks(place) == []
    watch.traffic.add("last_name", marker)
    return watch


async def leaks(watch: LeakWatch, place: Stack) -> list[str]:
    """The places where the value is found."""
    return [leak.place for leak in await watch.new_leaks(place)]


# What is looked for


def test_every_personal_text_of_a_request_is_looked_for() -> None:
    traffic = Traffic()
    person = _person()
    traffic.sent(save_request("units/abc", person))
    form = person.form
    expected = {
        form.first_names,
        form.last_name,
        form.address.street_address,
        form.email,
        form.additional_information,
        form.related_person.full_name,
        form.related_person.email,
        form.paper_consent.guardian_name,
        form.phone,
        "0401234567",
        "358401234567",
        "0401234568",
        "358401234568",
        form.related_person.phone,
        person.personal_identity_code,
        person.personal_identity_code[:6] + person.personal_identity_code[7:],
        person.personal_identity_code[:6] + "-" + person.personal_identity_code[7:],
        person.personal_identity_code[:6] + "\u2013" + person.personal_identity_code[7:],
    }
    assert traffic.values.keys() == expected
    assert person.personal_identity_code in traffic.codes()


def test_so_are_tokens_that_came_with_an_answer() -> None:
    traffic = Traffic()
    traffic.answered(LogInResponse(session=Session(refresh_token="abcdefghij", display_name="Riitta R.")))
    assert traffic.values == {"abcdefghij": "refresh_token"}


@pytest.mark.parametrize("text", ["Aino", "aaaaaaaaaaaa", "0" * 32, "units/abcdef/registrations/0123456"])
def test_what_is_short_or_common_or_an_id_is_not(text: str) -> None:
    traffic = Traffic()
    traffic.add("first_names", text)
    assert traffic.values == {}


# Where


async def _in_a_log(place: Stack, marker: str) -> None:
    (place.logs / "gateway.log").write_text(f'{{"event": "saved {marker}"}}\n')


async def _in_a_subject(place: Stack, marker: str) -> None:
    _mail(place, f"Subject: {marker}\r\n", "")


async def _in_an_encoded_header(place: Stack, marker: str) -> None:
    _mail(place, f"X-Of: {Header(marker, 'utf-8').encode()}\r\n", "")


async def _in_a_link(place: Stack, marker: str) -> None:
    _mail(place, "", f"See https://liity.example/consent?of={marker}#token")


async def _in_a_workflow_id(place: Stack, marker: str) -> None:
    await _run(place, f"registration/{marker}")


async def _in_a_search_attribute(place: Stack, marker: str) -> None:
    attributes = TypedSearchAttributes([SearchAttributePair(UNIT, marker)])
    await _run(place, "planted/attribute", search_attributes=attributes)


async def _in_a_memo(place: Stack, marker: str) -> None:
    await _run(place, "planted/memo", memo={"of": OperatorText(marker)})


async def _in_a_summary(place: Stack, marker: str) -> None:
    await _run(place, "planted/summary", static_summary=OperatorText(f"Registration of {marker}"))


async def _in_details(place: Stack, marker: str) -> None:
    await _run(place, "planted/details", static_details=OperatorText(f"Of {marker}"))


PLANTED = {
    "log gateway.log": _in_a_log,
    "headers of mail": _in_a_subject,
    "headers of mail ": _in_an_encoded_header,
    "links of mail": _in_a_link,
    "run registration/": _in_a_workflow_id,
    "run planted/attribute": _in_a_search_attribute,
    "run planted/memo": _in_a_memo,
    "run planted/summary": _in_a_summary,
    "run planted/details": _in_details,
}


@pytest.mark.parametrize("where", PLANTED)
async def test_a_planted_leak_is_found(watch: LeakWatch, place: Stack, marker: str, where: str) -> None:
    await PLANTED[where](place, marker)

    found = await leaks(watch, place)

    assert [name.startswith(where.rstrip()) for name in found] == [True]
    # Once told, it is told again at the end only.
    watch.traffic.add("last_name", marker)
    assert await leaks(watch, place) == []
    assert {leak.place for leak in await watch.all_leaks(place)} == set(found)


@pytest.mark.parametrize("with_bytes", [False, True])
async def test_a_leak_in_an_error_is_found(place: Stack, marker: str, with_bytes: bool) -> None:
    traffic = Traffic()
    watch = LeakWatch(traffic)

    async def refuse(_request: bytes, context: Any) -> bytes:
        where = (("x-why-bin", marker.encode()),) if with_bytes else ()
        await context.abort(grpc.StatusCode.NOT_FOUND, "No." if with_bytes else f"No {marker}.", where)
        return b""

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(refuse)
    service = grpc.method_handlers_generic_handler("liity.v1.ConsentService", {"GetConsentRequest": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        # Past the session's own watch, which would find the leak, too.
        opened = watched(unwrap(grpc.aio.insecure_channel), traffic)(f"{HOST}:{port}")
        async with opened as channel:
            call: Any = channel.unary_unary("/liity.v1.ConsentService/GetConsentRequest")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(GetConsentRequestRequest(token=marker).SerializeToString())
    finally:
        await server.stop(None)

    assert await leaks(watch, place) == ["error 0 of /liity.v1.ConsentService/GetConsentRequest"]


@pytest.mark.parametrize(
    ("field", "where", "found"),
    [
        ("last_name", "temporal/temporal.db", True),
        ("last_name", "temporal/temporal.db-wal", True),
        ("last_name", "base/notification/1", True),
        ("last_name", "base/registration/1", False),
        ("personal_identity_code", "base/registration/1", True),
        ("personal_identity_code", "base/identity/1", True),
        ("personal_identity_code", "postgres/data/pg_wal/1", True),
    ],
)
def test_a_leak_in_a_database_is_found(
    tmp_path: Path, marker: str, field: str, where: str, found: bool
) -> None:
    watch = LeakWatch(Traffic())
    watch.traffic.add(field, marker)
    folders = {name: tmp_path / "base" / name for name in ("identity", "registration", "notification")}
    planted = tmp_path / where
    for folder in (planted.parent, tmp_path / "temporal"):
        folder.mkdir(parents=True, exist_ok=True)
    planted.write_bytes(b"\0\x01" + marker.encode() + b"\xff")

    stack = cast(Stack, SimpleNamespace(folder=tmp_path))

    assert watch.stored_leaks(stack, folders) == ([Leak(marker, str(planted), "")] if found else [])


async def test_a_leak_is_reported_with_the_test_that_sent_the_value(place: Stack, marker: str) -> None:
    """Leaks are looked for once a file: the report must still name the test."""
    watch = LeakWatch(Traffic(test="first"))
    watch.traffic.add("last_name", marker)
    watch.traffic.test = "second"
    watch.traffic.add("last_name", f"{marker}-another")
    await _in_a_log(place, marker)
    (leak,) = await watch.new_leaks(place)
    assert leak == Leak(marker, "log gateway.log", "first")


async def test_what_a_mail_says_to_its_reader_is_no_leak(watch: LeakWatch, place: Stack, marker: str) -> None:
    _mail(place, f"To: {marker}@posti.example\r\n", f"Hello {marker}! https://liity.example/consent#{marker}")
    assert await leaks(watch, place) == []


def test_calls_of_every_channel_are_watched(leak_watch: LeakWatch) -> None:
    assert leak_watch.traffic.listening
    for opener in (grpc.aio.insecure_channel, grpc.aio.secure_channel):
        assert unwrap(opener) is not opener


def _mail(place: Stack, headers: str, body: str) -> None:
    mail = f"From: liity@liity.example\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
    Maildir(place.folder / "mail").add(["somebody@posti.example"], mail.encode())


async def _run(place: Stack, workflow_id: str, **options: Any) -> None:
    """A run that nobody works on, ended at once."""
    client = await connect_temporal(place)
    run = await client.start_workflow("Planted", id=workflow_id, task_queue="nobody", **options)
    await run.terminate()
    ended = f"WorkflowId = '{workflow_id}' AND ExecutionStatus = 'Terminated'"
    async with asyncio.timeout(30):
        # The list is a moment behind: what changes in it later would be told once more.
        while not [listed async for listed in client.list_workflows(ended)]:
            await asyncio.sleep(0.05)


def _person() -> DemoPerson:
    person = pupil()
    form = person.form
    form.email = "lapsi@koti.example"
    form.phone, form.related_person.phone = "040 123 4567", "+358 40 1234568"
    form.last_name = "Näytelä"
    form.additional_information = "Lukee iltaisin."
    form.related_person.full_name = "Kerttu Huoltaja"
    form.paper_consent.CopyFrom(PaperConsent(guardian_name="Kaino Huoltaja"))
    return person
