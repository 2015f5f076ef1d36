"""Decoding: who may, from where, what they see, and what is written about it before they do."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict
from temporalio.api.common.v1 import Payload

from deploy.admin.key_files import create_keys
from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import CreateRegistrationRequest, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT
from liity.v1.auth_service_pb2 import (
    ROLE_CUSTOMER_SERVICE,
    ROLE_MAIN_USER,
    ROLE_OPERATOR,
    ROLE_REGISTRAR,
    Role,
)
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from liity.v1.use_log_service_pb2 import Use
from liity.workflows.v1.registration_workflow_pb2 import (
    MailStepResult,
    RegistrationWorkflowInput,
    SaveRequest,
    SaveResponse,
)
from services.codec.server import serving_codec
from services.codec.settings import CodecSettings
from services.identity.accounts.token_issue import AccessTokens
from services.runtime.security.access import ROLES
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.security.service_identity import LEEWAY, ServiceIdentity
from services.runtime.settings import SettingsError
from services.runtime.temporal.codec import EncryptionCodec, data_converter
from tests.conftest import Amount
from tests.services.codec.conftest import UI, Codec, Person, body_of, forged_token, plain, value_in

Encrypt = Callable[..., Awaitable[list[Payload]]]
Uses = Callable[[Person], Awaitable[list[Use]]]
MakePerson = Callable[..., Awaitable[Person]]

ELSEWHERE = {
    "another site": "https://evil.example",
    "another port": "http://127.0.0.1:8234",
    "another scheme": "https://127.0.0.1:8233",
    "one that begins like it": "http://127.0.0.1:82330",
    "a sandbox": "null",
}


def save(person_id: str, registration_id: str) -> SaveResponse:
    return SaveResponse(
        registration=Registration(
            registration_id=registration_id,
            person_id=person_id,
            stage=STAGE_WAITING_FOR_CONSENT,
            customer_display_name="Leevi Näytelä",
        )
    )


def calls_in(lines: list[EventDict]) -> list[EventDict]:
    """Those of the codec server: others run in the same process."""
    return [line for line in lines if line["event"] in {"call", "call failed"}]


# What is shown


async def test_our_messages_are_shown_as_json_in_the_names_of_the_contracts(
    codec: Codec, staff: Person, encrypted: Encrypt
) -> None:
    answer = await codec.decode(await encrypted(save("p1", "r1")), staff.token)

    assert answer.status == 200
    (shown,) = answer.payloads
    assert dict(shown.metadata) == {
        "encoding": b"json/protobuf",
        "messageType": b"liity.workflows.v1.SaveResponse",
    }
    assert value_in(shown) == {
        "registration": {
            "registration_id": "r1",
            "person_id": "p1",
            "stage": "STAGE_WAITING_FOR_CONSENT",
            "customer_display_name": "Leevi Näytelä",
        }
    }


async def test_failures_and_nothing_are_shown_too(codec: Codec, staff: Person, encrypted: Encrypt) -> None:
    # The text of a failure is encrypted as plain JSON, and a step without a result gives none.
    failure = {"message": "UNAVAILABLE", "stack_trace": "File …"}
    answer = await codec.decode(await encrypted(failure, None), staff.token)

    shown, nothing = answer.payloads
    assert value_in(shown) == failure
    assert nothing == Payload(metadata={"encoding": b"binary/null"})


async def test_what_cannot_be_read_stays_as_it_is_among_what_can(
    codec: Codec, staff: Person, encrypted: Encrypt, uses: Uses, keys_dir: Path, tmp_path: Path
) -> None:
    create_keys(tmp_path)
    (first, last) = await encrypted(save("p1", "r1"), save("p2", "r2"))
    (under_another_key,) = await data_converter(load_keyset(tmp_path, KeysetPurpose.PAYLOADS)).encode(
        [save("p3", "r3")]
    )
    damaged = Payload(metadata=first.metadata, data=first.data[:-1] + bytes([first.data[-1] ^ 1]))
    empty = Payload(metadata=first.metadata)
    typed = plain({"person_id": "p4"})
    of_a_newer_release, unknown, no_message = await EncryptionCodec(
        load_keyset(keys_dir, KeysetPurpose.PAYLOADS)
    ).encode(
        [
            Payload(metadata={"encoding": b"binary/protobuf", "messageType": b"liity.v9.New"}, data=b"\x0a"),
            Payload(metadata={"encoding": b"binary/unknown"}, data=b"x"),
            Payload(metadata={"encoding": b"json/plain"}, data=b"{"),
        ]
    )
    kept = [under_another_key, damaged, empty, typed, of_a_newer_release, unknown, no_message]

    answer = await codec.decode([first, *kept, last], staff.token)

    assert answer.status == 200
    shown = answer.payloads
    assert shown[1:-1] == kept
    assert [value_in(shown[place])["registration"]["person_id"] for place in (0, -1)] == ["p1", "p2"]
    (use,) = await uses(staff)
    assert list(use.subject_ids) == ["p1", "p2", "r1", "r2"]


async def test_no_payloads_are_no_payloads(codec: Codec, staff: Person) -> None:
    answer = await codec.decode([], staff.token)
    assert (answer.status, answer.json) == (200, {"payloads": []})


# What is written


async def test_every_decode_is_in_the_log_with_who_and_whose(
    codec: Codec, staff: Person, encrypted: Encrypt, uses: Uses
) -> None:
    form = SaveRequest(registration=CreateRegistrationRequest(person_id="p1"))
    await codec.decode(await encrypted(form, RegistrationWorkflowInput(person_id="p2")), staff.token)
    await codec.decode(await encrypted(MailStepResult(delivered=True)), staff.token)

    about_nobody, about_two = await uses(staff)
    for use in (about_nobody, about_two):
        assert use.action == "payload:decode"
        assert use.outcome == "OK"
        assert use.actor_kind == ACTOR_KIND_ACCOUNT
        assert use.role == ROLE_CUSTOMER_SERVICE
    assert list(about_two.subject_ids) == ["p1", "p2"]
    assert list(about_nobody.subject_ids) == []
    assert about_two.trace_id != about_nobody.trace_id


async def test_more_people_than_an_entry_holds_are_in_several(
    codec: Codec, staff: Person, encrypted: Encrypt, uses: Uses
) -> None:
    people = [f"p{number}" for number in range(1001)]
    payloads = await encrypted(*(RegistrationWorkflowInput(person_id=person) for person in people))

    assert (await codec.decode(payloads, staff.token)).status == 200
    assert sorted(subject for use in await uses(staff) for subject in use.subject_ids) == sorted(people)


async def test_only_ids_come_into_the_log(
    codec: Codec, staff: Person, encrypted: Encrypt, uses: Uses
) -> None:
    odd = {"person_id": "Leevi Näytelä", "registration_id": 5, "registration_ids": ["r1", None, ["r2"]]}
    assert (await codec.decode(await encrypted(odd), staff.token)).status == 200

    (use,) = await uses(staff)
    assert list(use.subject_ids) == ["r1"]


async def test_what_was_plain_already_is_not_written(codec: Codec, staff: Person, uses: Uses) -> None:
    operators = [plain("Send the consent request"), plain({"evidence": {}})]
    answer = await codec.decode(operators, staff.token)

    assert answer.payloads == operators
    assert await uses(staff) == []


async def test_nothing_is_shown_while_the_log_takes_nothing(
    codec_without_log: Codec, staff: Person, encrypted: Encrypt
) -> None:
    answer = await codec_without_log.decode(await encrypted(save("p1", "r1")), staff.token)

    assert answer.status == 503
    assert answer.json["reason"] == "UNAVAILABLE"
    assert "payloads" not in answer.json
    assert answer.headers["Retry-After"] == "1"


async def test_logs_tell_of_calls_and_of_nothing_personal(
    codec: Codec, staff: Person, encrypted: Encrypt
) -> None:
    with capture_logs() as lines:
        await codec.decode(await encrypted(save("p1", "r1")), staff.token)
        await codec.decode([plain("Leevi Näytelä")], forged_token(staff.token, name="Leevi Näytelä"))
        await codec("POST", "/Leevi%20N%C3%A4ytel%C3%A4", body=b"x")
        await codec("POST", "/decode", body=b"Leevi", authorization=f"Bearer {staff.token}")
    assert {"event": "decoded", "log_level": "info", "payloads": 1, "read": 1} in lines
    assert len(lines) >= 4
    written = json.dumps(lines, ensure_ascii=False, default=str)
    for personal in ("Leevi", "Virtanen", staff.email, staff.token, "p1"):
        assert personal not in written


# Who


@pytest.mark.parametrize("role", [None, *ROLES], ids=lambda role: ROLES.get(role, "no role"))
async def test_customer_service_alone_may_decode(
    codec: Codec, person: MakePerson, encrypted: Encrypt, uses: Uses, role: Role.ValueType | None
) -> None:
    assert {ROLE_REGISTRAR, ROLE_MAIN_USER, ROLE_OPERATOR} < set(ROLES)
    somebody = await person(*([] if role is None else [role]))
    payloads = await encrypted(save("p1", "r1"))

    answer = await codec.decode(payloads, somebody.token)

    if role == ROLE_CUSTOMER_SERVICE:
        assert answer.status == 200
        assert answer.payloads != payloads
        return
    assert answer.status == 403
    assert answer.json["reason"] == "PERMISSION_DENIED"
    assert "payloads" not in answer.json
    assert await uses(somebody) == []


async def test_without_a_valid_token_nothing_is_decoded(
    codec: Codec, staff: Person, person: MakePerson, encrypted: Encrypt, keys_dir: Path, tmp_path: Path
) -> None:
    create_keys(tmp_path)
    registrar = await person(ROLE_REGISTRAR)
    header, claims, _ = staff.token.split(".")
    theirs = AccessTokens(tmp_path, timedelta(minutes=10)).sign(staff.account, "none").token
    tokens = {
        "none": "",
        "no token": "nonsense",
        "cut": staff.token[:-1],
        "promoted": forged_token(registrar.token, roles=["CUSTOMER_SERVICE"]),
        "prolonged": forged_token(staff.token, exp=4_000_000_000),
        "signed by another": theirs,
        "signed by another under our key's name": f"{header}.{claims}.{theirs.split('.')[2]}",
        "unsigned": f"eyJhbGciOiJub25lIn0.{claims}.",
        "without its signature": f"{header}.{claims}.",
        "a component's": ServiceIdentity("gateway", keys_dir).token("codec"),
        "beyond ASCII": "tökeni",
        "long": "x" * 5000,
    }
    payloads = await encrypted(save("p1", "r1"))
    for what, token in tokens.items():
        by_header = await codec.decode(payloads, token)
        by_cookie = await codec.decode(payloads, cookie=f"liity-codec={token}")
        if what != "none":
            assert (by_header.status, by_header.json["reason"]) == (401, "UNAUTHENTICATED"), what
            assert by_header.json["log_in"] == f"{codec.url}/"
            assert by_header.headers["WWW-Authenticate"] == "Bearer"
        # Temporal UI would show a refusal as a fault over every run.
        assert (by_cookie.status, by_cookie.payloads) == (200, payloads), what
    assert (await codec.decode(payloads, staff.token)).status == 200


async def test_a_token_that_has_ended_says_so(codec: Codec, person: MakePerson, encrypted: Encrypt) -> None:
    late = await person(ROLE_CUSTOMER_SERVICE, lifetime=-LEEWAY - 1)
    answer = await codec.decode(await encrypted(save("p1", "r1")), late.token, accept_language="sv")

    assert (answer.status, answer.json["reason"]) == (401, "TOKEN_EXPIRED")
    assert answer.json["message"].startswith("Din inloggning har gått ut")


@pytest.mark.parametrize("scheme", ["Basic", "bearer"])
async def test_the_scheme_is_bearer_in_any_case(codec: Codec, staff: Person, scheme: str) -> None:
    answer = await codec.decode([], authorization=f"{scheme} {staff.token}")
    assert answer.status == (200 if scheme == "bearer" else 401)


# From where


async def test_temporal_ui_may_ask_with_the_cookie_and_read_the_answer(
    codec: Codec, staff: Person, encrypted: Encrypt
) -> None:
    allowed = await codec(
        "OPTIONS",
        "/decode?preserveStorageRefs=true",
        origin=UI,
        access_control_request_method="POST",
        access_control_request_headers="content-type,x-namespace",
    )
    assert allowed.status == 204
    assert allowed.headers["Access-Control-Allow-Methods"] == "POST"
    assert {"content-type", "x-namespace"} <= set(allowed.headers["Access-Control-Allow-Headers"].split(", "))

    answer = await codec.decode(await encrypted(save("p1", "r1")), cookie=f"liity-codec={staff.token}")

    assert answer.status == 200
    for response in (allowed, answer, await codec.decode([], "nonsense")):
        assert response.headers["Access-Control-Allow-Origin"] == UI
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Vary"] == "Origin"
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("origin", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_no_other_page_may_ask(
    codec: Codec, staff: Person, encrypted: Encrypt, uses: Uses, origin: str
) -> None:
    payloads = await encrypted(save("p1", "r1"))
    answers = [
        await codec("OPTIONS", "/decode", origin=origin, access_control_request_method="POST"),
        await codec.decode(payloads, origin=origin, cookie=f"liity-codec={staff.token}"),
        await codec.decode(payloads, staff.token, origin=origin),
        await codec("POST", "/encode", body=body_of(payloads), origin=origin),
    ]
    for answer in answers:
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    assert await uses(staff) == []


async def test_a_program_names_no_page_and_brings_its_token(
    codec: Codec, staff: Person, encrypted: Encrypt
) -> None:
    payloads = await encrypted(save("p1", "r1"))
    assert (await codec.decode(payloads, staff.token, origin="")).status == 200
    # A cookie from nowhere may be of a browser that another page has sent here.
    by_cookie = await codec.decode(payloads, origin="", cookie=f"liity-codec={staff.token}")
    assert by_cookie.status == 401


async def test_pages_are_not_for_temporal_ui_to_read(codec: Codec) -> None:
    answer = await codec("GET", "/", origin=UI)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]


# What operators send


async def test_what_operators_send_goes_plain_without_a_log_in(codec: Codec) -> None:
    typed = [plain({}), plain({"evidence": {"method": "METHOD_OPERATOR"}})]
    for headers in ({"origin": UI}, {}):
        answer = await codec("POST", "/encode?preserveStorageRefs=true", body=body_of(typed), **headers)
        assert answer.status == 200
        assert answer.payloads == typed


# Bad input


@pytest.mark.parametrize("path", ["/decode", "/encode"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{",
        b"5",
        b'{"payloads": 5}',
        b'{"payloads": [5]}',
        b'{"payloads": [{"metadata": 5}]}',
        b'{"payloads": [{"metadata": {"encoding": 5}}]}',
        b'{"payloads": [{"data": "a"}]}',
        b'{"payloads": [], "payloads": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"payloads":' * 50_000,
        b'{"payloads": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_what_is_not_of_the_protocol_is_malformed(
    codec: Codec, staff: Person, path: str, body: bytes
) -> None:
    answer = await codec("POST", path, body=body, authorization=f"Bearer {staff.token}")
    assert (answer.status, answer.json["reason"]) == (400, "MALFORMED_MESSAGE")


async def test_no_body_at_all_makes_a_fault(codec: Codec, staff: Person, amount: Amount) -> None:
    json_values = st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | _NAMES, inner),
    )
    bodies: list[bytes] = []

    @hypothesis_settings(
        max_examples=amount(100, long=3000), database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.binary() | st.dictionaries(_NAMES, json_values).map(lambda value: json.dumps(value).encode()))
    def collect(body: bytes) -> None:
        bodies.append(body)

    collect()
    for body in bodies:
        answer = await codec("POST", "/decode", body=body, authorization=f"Bearer {staff.token}")
        assert answer.status in {200, 400}, body


_NAMES = st.sampled_from(["payloads", "metadata", "data", "encoding", "externalPayloads", "sizeBytes"])


async def test_a_huge_body_is_not_read(codec: Codec, staff: Person) -> None:
    huge = body_of([Payload(data=bytes(4 * 1024 * 1024))])
    answer = await codec("POST", "/decode", body=huge, authorization=f"Bearer {staff.token}", origin=UI)

    assert answer.status == 413
    assert answer.headers["Access-Control-Allow-Origin"] == UI


async def test_what_temporal_takes_at_most_fits(codec: Codec, staff: Person) -> None:
    largest = Payload(metadata={"encoding": b"binary/encrypted"}, data=bytes(2 * 1024 * 1024))
    answer = await codec.decode([largest], staff.token)
    assert answer.status == 200


async def test_what_is_compressed_is_not_blown_up(codec: Codec, staff: Person) -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    answer = await codec(
        "POST", "/decode", body=bomb, content_encoding="gzip", authorization=f"Bearer {staff.token}"
    )
    assert answer.status == 400


async def test_strangers_bodies_are_not_even_read(codec: Codec, browser: httpx2.AsyncClient) -> None:
    host, _, port = codec.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /decode HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
    await writer.wait_closed()


async def test_who_goes_away_in_the_middle_is_no_fault(codec: Codec, staff: Person) -> None:
    host, _, port = codec.url.removeprefix("http://").rpartition(":")
    head = (
        f"POST /decode HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {staff.token}\r\nContent-Length: 100\r\n"
    )
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + b"\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        (call,) = await eventually(lambda: asyncio.sleep(0, calls_in(lines)), bool, 30)
    assert call["outcome"] == "INVALID_ARGUMENT MALFORMED_MESSAGE"


async def test_chunks_that_are_none_are_malformed(codec: Codec, staff: Person) -> None:
    host, _, port = codec.url.removeprefix("http://").rpartition(":")
    head = f"POST /decode HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {staff.token}\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\nnot hex\r\n\r\n")
    await writer.drain()
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/decode", 405), ("POST", "/", 405), ("GET", "/nowhere", 404), ("GET", "/../../etc", 404)],
)
async def test_nothing_else_is_served(codec: Codec, method: str, path: str, status: int) -> None:
    assert (await codec(method, path)).status == status


# The program


async def test_it_is_healthy(codec: Codec) -> None:
    answer = await codec("GET", "/healthz")
    assert (answer.status, answer.text) == (200, "ok")


async def test_a_taken_port_is_one_clear_line(codec: Codec, settings: CodecSettings) -> None:
    with pytest.raises(SettingsError, match=f"Cannot listen on {settings.listen}"):
        async with serving_codec(settings):
            pass
