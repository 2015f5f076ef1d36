"""What identity tells of a person, and what it leaves of one who is erased."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from google.protobuf import json_format
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.credential_service_pb2 import ChoosePasswordRequest, IssueCredentialsRequest
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    CheckLinkRequest,
    GetConsentLinkRequest,
    IssueLinkRequest,
    RedeemLinkRequest,
    VoidLinksRequest,
)
from liity.identity.v1.person_service_pb2 import (
    EnsurePersonRequest,
    ErasePersonRequest,
    ExportPersonRequest,
    FindPersonRequest,
    PrepareCodeChangeRequest,
    RetainPersonRequest,
)
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_CLOSED,
    CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN,
    CONSENT_REQUEST_STATE_DECLINED,
)
from liity.v1.customer_service_pb2 import CODE_CHANGE_CORRECTED
from liity.v1.reason_pb2 import REASON_LINK_INVALID, REASON_LINK_USED, REASON_LINK_VOID
from services.identity import privacy_export
from services.identity.cleanup import EXPIRED_LINK_LIFETIME, sweep
from services.identity.links.tokens import new_id
from services.identity.models import Base
from services.runtime.clock import now
from tests.services.conftest import Component, refused
from tests.support.hetu_codes import nth_code

PASSWORD = "correct horse battery"


async def person(identity: Component, number: int) -> str:
    request = EnsurePersonRequest(personal_identity_code=nth_code(number))
    person_id: str = (await identity(request)).person_id
    await identity(RetainPersonRequest(person_id=person_id))
    return person_id


async def consent_link(identity: Component, subject: str) -> tuple[str, str]:
    """Token and ID of a link."""
    issue = IssueLinkRequest(request_id=str(uuid4()), purpose=LINK_PURPOSE_CONSENT, subject=subject)
    issue.expire_time.FromDatetime(now() + timedelta(days=1))
    token: str = (await identity(issue)).token
    check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CONSENT)
    return token, (await identity(check)).link_id


async def everything_stored(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        rows = [
            row
            for table in Base.metadata.sorted_tables
            for row in await connection.scalars(text(f"SELECT t::text FROM {table.name} t"))  # noqa: S608
        ]
    return "\n".join(rows)


async def test_everything_is_told_but_secrets(identity: Component, identity_engine: AsyncEngine) -> None:
    person_id, registration_id = await person(identity, 700), new_id()
    credentials = await identity(IssueCredentialsRequest(request_id=str(uuid4()), person_id=person_id))
    await identity(
        ChoosePasswordRequest(request_id=str(uuid4()), link_token=credentials.link_token, password=PASSWORD)
    )
    await consent_link(identity, registration_id)
    await identity(
        PrepareCodeChangeRequest(
            request_id=str(uuid4()),
            person_id=person_id,
            personal_identity_code=nth_code(702),
            change=CODE_CHANGE_CORRECTED,
        )
    )
    told = await identity(ExportPersonRequest(person_id=person_id, subject_ids=[registration_id]))
    sections: dict[str, list[dict[str, Any]]] = {
        section.kind: [json_format.MessageToDict(record) for record in section.records]
        for section in told.sections
    }
    assert list(sections) == [kind.name for kind in privacy_export.KINDS]
    for kind in privacy_export.KINDS:
        for record in sections[kind.name]:
            assert {column.name for column in kind.columns} <= set(record)
            assert not set(kind.left_out) & set(record)
    assert sections["personal_identity_code"][0]["personal_identity_code"] == nth_code(700)
    [shown] = sections["credentials"]
    assert shown["user_name"] == credentials.user_name
    assert shown["password_chosen_at"]
    purposes = [link["purpose"] for link in sections["links"]]
    assert purposes == ["LINK_PURPOSE_PASSWORD", "LINK_PURPOSE_CONSENT"]
    assert sections["links"][0]["used_at"]
    assert b"argon2" not in told.SerializeToString()


async def test_of_nobody_there_is_nothing_to_tell(identity: Component) -> None:
    assert not (await identity(ExportPersonRequest(person_id=new_id()))).sections


async def test_what_links_open_is_erased_with_the_person(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    person_id, registration_id, another = await person(identity, 701), new_id(), new_id()
    credentials = await identity(IssueCredentialsRequest(request_id=str(uuid4()), person_id=person_id))
    unused, _ = await consent_link(identity, registration_id)
    used, used_id = await consent_link(identity, registration_id)
    others, _ = await consent_link(identity, another)
    answer = RedeemLinkRequest(
        link_id=used_id, request_id=str(uuid4()), consent_state=CONSENT_REQUEST_STATE_DECLINED
    )
    await identity(answer)
    for _ in range(2):
        await identity(ErasePersonRequest(person_id=person_id, subject_ids=[registration_id]))
    stored = await everything_stored(identity_engine)
    for left in (person_id, registration_id, credentials.user_name):
        assert left not in stored

    def check(token: str, request_id: str = "") -> CheckLinkRequest:
        return CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CONSENT, request_id=request_id)

    # Whoever opens one is told what they were told before; a repeated answer is known as one.
    assert (await refused(identity(check(unused)))).reason == REASON_LINK_VOID
    assert (await refused(identity(check(used)))).reason == REASON_LINK_USED
    assert (await identity(check(used, answer.request_id))).subject == ""
    # What became of the request stays: it names nobody.
    told = await identity(GetConsentLinkRequest(token=used))
    assert (told.subject, told.state) == ("", CONSENT_REQUEST_STATE_DECLINED)
    told = await identity(GetConsentLinkRequest(token=unused))
    assert (told.subject, told.state) == ("", CONSENT_REQUEST_STATE_CLOSED)
    await identity(answer)
    assert (await identity(check(others))).subject == another
    assert not (await identity(FindPersonRequest(personal_identity_code=nth_code(701)))).person_id


async def test_links_are_forgotten_a_month_after_they_expired(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    (long_over, over_id), (lately, lately_id) = [await consent_link(identity, new_id()) for _ in range(2)]
    child = new_id()
    given, given_id = await consent_link(identity, child)
    accept = VoidLinksRequest(
        purpose=LINK_PURPOSE_CONSENT, subject=child, consent_state=CONSENT_REQUEST_STATE_ACCEPTED
    )
    await identity(accept)
    old = timedelta(minutes=-1)
    async with identity_engine.begin() as connection:
        for link_id, margin in ((over_id, old), (given_id, old), (lately_id, timedelta(minutes=1))):
            await connection.execute(
                text("UPDATE links SET expires_at = :end WHERE link_id = :id"),
                {"end": now() - EXPIRED_LINK_LIFETIME + margin, "id": link_id},
            )
        # What it was about is erased: it tells what was answered as long as the others do.
        await connection.execute(text("UPDATE links SET subject = '' WHERE link_id = :id"), {"id": lately_id})
    await sweep(identity_engine)
    stored = await everything_stored(identity_engine)
    assert (over_id in stored, lately_id in stored) == (False, True)
    check = CheckLinkRequest(token=long_over, purpose=LINK_PURPOSE_CONSENT)
    assert (await refused(identity(check))).reason == REASON_LINK_INVALID
    assert lately
    # A consent that stands can be withdrawn by its link, as long as there is something to withdraw (R38).
    assert (await identity(GetConsentLinkRequest(token=given))).subject == child
    withdraw = VoidLinksRequest(
        purpose=LINK_PURPOSE_CONSENT, subject=child, consent_state=CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN
    )
    await identity(withdraw)
    told = await identity(GetConsentLinkRequest(token=given))
    assert told.state == CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN
    await sweep(identity_engine)
    assert given_id not in await everything_stored(identity_engine)
