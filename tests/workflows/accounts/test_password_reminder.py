"""Whoever has an old password, or has never chosen one, is asked to (R13, R22)."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import text

from liity.identity.v1.account_service_pb2 import Account
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_REGISTRAR
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from services.runtime.clock import helsinki_day, now
from services.runtime.data.rate_limits import key_hash
from services.runtime.temporal.names import TASK_QUEUE
from services.runtime.temporal.names import PasswordReminderWorkflowNames as Names
from services.runtime.text.email_addresses import fold
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born
from tests.workflows.customers import test_credentials as credentials

SUBJECT = "Vaihda asiakashallinnan salasanasi"
YEAR = timedelta(days=365)


async def remind(world: World) -> None:
    """What the schedule does once a day."""
    await world.temporal.execute_workflow(
        Names.WORKFLOW, id=f"{Names.SCHEDULE}-{uuid.uuid4()}", task_queue=TASK_QUEUE
    )


async def date_back(
    world: World, account: Account, chosen_at: datetime, reminded_at: datetime | None
) -> None:
    """Lets an account's password be as old as that."""
    async with world.engines["identity"].begin() as connection:
        await connection.execute(
            text(
                "UPDATE accounts SET password_chosen_at = :chosen, password_reminded_at = :reminded"
                " WHERE account_id = :id"
            ),
            {"chosen": chosen_at, "reminded": reminded_at, "id": account.account_id},
        )


def reminders(world: World, account: Account) -> int:
    return [mail["Subject"] for mail in world.mails_to(account.email)].count(SUBJECT)


async def test_an_old_password_is_spoken_of_once_a_year(world: World) -> None:
    unit_id = await world.unit()
    old, young, long_since, lately = [await world.account(unit_id) for _ in range(4)]
    moment = now()
    await date_back(world, old, moment - YEAR, None)
    await date_back(world, young, moment - YEAR + timedelta(days=1), None)
    await date_back(world, long_since, moment - 3 * YEAR, moment - YEAR)
    await date_back(world, lately, moment - 3 * YEAR, moment - timedelta(days=1))
    for _ in range(2):
        await remind(world)
    assert [reminders(world, account) for account in (old, young, long_since, lately)] == [1, 0, 1, 0]
    await date_back(world, old, moment - 2 * YEAR, moment - YEAR)
    await remind(world)
    assert reminders(world, old) == 2


async def test_all_of_many_are_reminded_and_a_dead_address_keeps_nobody_waiting(world: World) -> None:
    unit_id = await world.unit()
    accounts = [await world.account(unit_id) for _ in range(25)]
    world.smtp.unknown.add(accounts[0].email)
    for account in accounts:
        await date_back(world, account, now() - YEAR, None)
    await remind(world)
    assert [reminders(world, account) for account in accounts] == [0, *[1] * 24]


async def test_who_belongs_to_no_unit_any_more_is_left_in_peace(world: World) -> None:
    account = await world.account(await world.unit())
    await date_back(world, account, now() - YEAR, None)
    async with world.engines["identity"].begin() as connection:
        await connection.execute(
            text("DELETE FROM memberships WHERE account_id = :id"), {"id": account.account_id}
        )
    await remind(world)
    assert reminders(world, account) == 0


REMINDER = "Muistutus: valitse salasana kirjaston palveluun"
UNUSED = "Asiakas ei ole valinnut salasanaa, ja linkki on vanhentunut"


async def move_link(world: World, registration: Registration, ends_in: timedelta) -> None:
    """Lets the link of somebody's credentials end in that time."""
    statement = (
        "UPDATE links SET expires_at = :end, created_at = :begin WHERE subject = :person AND purpose = 2"
    )
    end = now() + ends_in
    person_id = registration.person_id
    await world.change("identity", statement, end=end, begin=end - timedelta(days=30), person=person_id)


async def test_a_link_to_choose_a_password_that_nobody_uses_is_spoken_of_and_its_end_too(
    world: World,
) -> None:
    to_registrar = adult_form(credentials.address(), credentials_recipient=CREDENTIALS_RECIPIENT_REGISTRAR)
    forms = [*[adult_form(credentials.address()) for _ in range(3)], to_registrar]
    registrations = [(await world.save(form, born(40)))[0] for form in forms]
    unused, used, young, _ = registrations
    (token,) = credentials.tokens(world, forms[0].email)
    await credentials.choose(world, credentials.tokens(world, forms[1].email)[0])
    for registration in registrations:
        left = timedelta(days=7 if registration is not young else 8)
        await move_link(world, registration, left - timedelta(minutes=1))
    told_before = len(world.mails_to(REGISTRARS_ADDRESS))
    for _ in range(2):
        await remind(world)
    reminded = [
        [mail for mail in world.mails_to(form.email) if mail["Subject"] == REMINDER] for form in forms
    ]
    assert [len(mails) for mails in reminded] == [1, 0, 0, 0]
    # The same link, whose end has not moved.
    body = reminded[0][0].get_body(("plain",))
    assert body is not None
    assert token in body.get_content()
    # Credentials that went to the registrar are the registrar's to think of.
    told = [mail["Subject"] for mail in world.mails_to(REGISTRARS_ADDRESS)[told_before:]]
    assert told == [REMINDER]

    for registration in (unused, used):
        await move_link(world, registration, timedelta(minutes=-1))
    for _ in range(2):
        await remind(world)
    told = [mail["Subject"] for mail in world.mails_to(REGISTRARS_ADDRESS)[told_before:]]
    assert told == [REMINDER, UNUSED]
    # The end of a link ends no customership.
    assert (await world.stored(unused)).stage in {STAGE_CREDENTIALS_SENT, STAGE_WELCOMED}


async def test_an_address_that_gets_no_more_mail_today_keeps_no_other_waiting(world: World) -> None:
    forms = [adult_form(credentials.address()) for _ in range(2)]
    for left, form in enumerate(forms, 5):
        registration, _ = await world.save(form, born(40))
        await move_link(world, registration, timedelta(days=left))
    end = now() + timedelta(days=2)
    # Also if midnight passes meanwhile.
    days = [helsinki_day(now()) + timedelta(days=later) for later in range(2)]
    keys = [key_hash(f"mail:{day}:{fold(forms[0].email)}") for day in days]
    statement = (
        "INSERT INTO limits VALUES (:key, 10000, :end)"
        " ON CONFLICT (key) DO UPDATE SET events = excluded.events"
    )
    for key in keys:
        await world.change("notification", statement, key=key, end=end)
    await remind(world)
    assert [reminded_of_link(world, form.email) for form in forms] == [0, 1]
    for key in keys:
        await world.change("notification", "DELETE FROM limits WHERE key = :key", key=key)
    await remind(world)
    assert [reminded_of_link(world, form.email) for form in forms] == [1, 1]


def reminded_of_link(world: World, address: str) -> int:
    return [mail["Subject"] for mail in world.mails_to(address)].count(REMINDER)
