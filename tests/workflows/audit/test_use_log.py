"""On whose behalf a run works, as the log of use knows it (R36): whoever asked, and nobody where time has."""

import uuid
from datetime import timedelta

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_LINK, ACTOR_KIND_SYSTEM, Actor, ActorKind
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_LAPSED
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest
from services.runtime.clock import helsinki_day, now
from tests.services.registration.audit.uses import acting_as, an_account
from tests.workflows.conftest import World, born, child_form

GUARDIAN = Actor(kind=ACTOR_KIND_LINK, trace_id="guardian")
CREATED = ("registration:create", an_account().kind, "tr1")


async def uses_of(
    postgres: EmbeddedPostgres, registration: Registration
) -> list[tuple[str, ActorKind.ValueType, str]]:
    """What the log says of a registration: what was done, by what kind of somebody, in which call."""
    connection = await postgres.connect("registration", "registration")
    try:
        rows = await connection.fetch(
            "SELECT action, actor_kind, trace_id FROM use_entries"
            " WHERE subject_ids @> ARRAY[$1::varchar] ORDER BY used_at",
            registration.registration_id,
        )
    finally:
        await connection.close()
    return [(row["action"], row["actor_kind"], row["trace_id"]) for row in rows]


async def test_who_turns_15_is_begun_by_nobody(world: World, postgres: EmbeddedPostgres) -> None:
    birthday = helsinki_day(now()) + timedelta(days=10)
    form = child_form(f"{uuid.uuid4().hex}@example.org")
    birth_date = birthday.replace(year=birthday.year - 15)
    registration, run = await acting_as(an_account(), world.save(form, birth_date))
    await world.skip(run, timedelta(days=11))
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT
    assert await uses_of(postgres, registration) == [
        CREATED,
        ("registration:activate", ACTOR_KIND_SYSTEM, ""),
    ]


async def test_a_lapse_is_ended_by_nobody(world: World, postgres: EmbeddedPostgres) -> None:
    form = child_form(f"{uuid.uuid4().hex}@example.org")
    registration, run = await acting_as(an_account(), world.save(form, born(9)))
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_LAPSED
    assert await uses_of(postgres, registration) == [CREATED, ("registration:end", ACTOR_KIND_SYSTEM, "")]


async def test_whoever_asked_before_does_not_do_what_others_ask_later(
    world: World, postgres: EmbeddedPostgres
) -> None:
    form = child_form(f"{uuid.uuid4().hex}@example.org")
    registration, _ = await acting_as(an_account(), world.save(form, born(9)))
    consent = RecordConsentRequest(
        request_id=str(uuid.uuid4()),
        evidence=ConsentEvidence(method=ConsentEvidence.METHOD_RECORDED, guardian_name="Outi Huoltaja"),
    )
    await acting_as(GUARDIAN, world.workflows.record_consent(registration.person_id, consent))
    assert await uses_of(postgres, registration) == [
        CREATED,
        ("registration:activate", ACTOR_KIND_LINK, "guardian"),
    ]
