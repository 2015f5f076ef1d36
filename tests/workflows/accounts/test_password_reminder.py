"""Whoever has an old password is asked to change it, once a year (R22)."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import text

from liity.identity.v1.account_service_pb2 import Account
from services.runtime.clock import now
from services.runtime.temporal.names import TASK_QUEUE
from services.runtime.temporal.names import PasswordReminderWorkflowNames as Names
from tests.workflows.conftest import World

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
