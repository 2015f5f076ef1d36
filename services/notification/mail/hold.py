"""Holding mail back while the mail server refuses us: one mail now and then finds out if it still does."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog

log = structlog.get_logger()

_MAILS = 3
"""So many different mails refused in a row hold all mail back: the content of one is no reason to."""

_LONGEST = 16
"""The longest pause, in first pauses."""

_ALARM = 3600.0
"""Seconds between two alarms about the same trouble."""


class Hold:
    """Whether mail may be sent now. Each process finds out for itself."""

    def __init__(self, pause: timedelta) -> None:
        self._first = self._pause = pause.total_seconds()
        self._refused: set[UUID] = set()
        self._held_until: float | None = None
        self._next_alarm = 0.0

    def take_turn(self) -> bool:
        """Whether a mail may be sent now. While mail is held back, one may after each pause."""
        if self._held_until is None:
            return True
        moment = _moment()
        if moment < self._held_until:
            return False
        self._held_until = moment + self._pause
        return True

    def refused(self, request_id: UUID, error: str) -> None:
        """The server has refused a mail because of us. Alarms the operators, at most once an hour."""
        moment = _moment()
        if moment >= self._next_alarm:
            self._next_alarm = moment + _ALARM
            log.error(
                "mail server refuses our mail: see docs/operating.md, Mail that is refused", answer=error
            )
        self._refused.add(request_id)
        if self._held_until is not None:
            self._pause = min(2 * self._pause, _LONGEST * self._first)
            self._held_until = moment + self._pause
        elif len(self._refused) >= _MAILS:
            self._held_until = moment + self._pause
            log.warning("mail is held back", seconds=self._pause)

    def accepted(self) -> None:
        """The server takes our mail, or has refused an address."""
        if self._held_until is not None:
            log.info("mail server takes our mail again")
        self._refused.clear()
        self._held_until, self._pause, self._next_alarm = None, self._first, 0.0


def _moment() -> float:
    return asyncio.get_running_loop().time()
