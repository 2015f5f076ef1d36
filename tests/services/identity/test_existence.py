"""The work that is done tells nobody whether an account is known: it is the same either way."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import LogInRequest
from services.runtime.rpc.errors import Refusal
from tests.services.conftest import Component, refused
from tests.services.identity.test_accounts import log_in, new_account

STATEMENT = re.compile(r"\s+")


class Work:
    """What a call has cost: its statements as written, and how often a password was hashed."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.hashes: list[str] = []

    @property
    def done(self) -> tuple[list[str], list[str]]:
        """Both."""
        return self.statements, self.hashes


@contextmanager
def watching(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Counts the work meanwhile."""
    work, lock = Work(), threading.Lock()

    def executed(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        work.statements.append(STATEMENT.sub(" ", statement))

    verify = PasswordHasher.verify

    def verified(hasher: PasswordHasher, password_hash: str | bytes, password: str | bytes) -> bool:
        with lock:
            # The parameters are the cost, not the salt.
            work.hashes.append(str(password_hash).rpartition("$")[0].rpartition("$")[0])
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", verified)
    event.listen(engine.sync_engine, "before_cursor_execute", executed)
    try:
        yield work
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", executed)
        monkeypatch.setattr(PasswordHasher, "verify", verify)


def told(refusal: Refusal) -> tuple[Any, ...]:
    """All of a refusal."""
    return refusal.code, refusal.reason, refusal.violations, refusal.retry_after


async def test_a_log_in_costs_the_same_whether_the_account_is_known(
    identity: Component, identity_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (await identity(new_account())).account
    attempts: dict[str, LogInRequest] = {
        "known": log_in(known.email, "not its password"),
        "unknown": log_in(f"{uuid4().hex}@school.example", "not its password"),
        "no address": log_in("nobody", "not its password"),
        "NUL": log_in("no\0body", "not its password"),
    }
    answers, works = {}, {}
    for name, request in attempts.items():
        with watching(identity_engine, monkeypatch) as work:
            answers[name] = told(await refused(identity(request)))
        works[name] = work.done

    assert set(map(str, answers.values())) == {str(answers["known"])}
    assert works == dict.fromkeys(attempts, works["known"])
    # And it is what it must be: an attempt is counted, the account sought, one password verified.
    statements, hashes = works["known"]
    assert len(hashes) == 1
    assert "argon2id" in hashes[0]
    assert statements
    # The comparison sees a difference where there is one.
    with watching(identity_engine, monkeypatch) as work:
        await identity(log_in(known.email))
    assert work.statements != statements
