"""Re-encryption of the vault: moves codes stored under older keys to the primary keys.

May run beside identity, several times at once, and may be stopped at any moment: each row shows by its key
IDs whether it is done. Meanwhile identity finds every code, whichever key its row uses.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

import tink
from sqlalchemy import Table, bindparam, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity.models import Person
from services.identity.persons.vault import HetuVault, SealedHetu

_BATCH = 200
"""Rows per transaction: few, so that a Save that needs a locked row waits only briefly."""

_PAUSE = 0.2
"""Seconds before another pass over rows that were locked by others."""

_PERSONS = cast(Table, Person.__table__)


class ReencryptionError(Exception):
    """A code cannot be moved to the primary keys. The text is the one line to show."""


_RESEAL = (
    update(Person)
    .where(Person.person_id == bindparam("resealed_id"))
    .values({column: bindparam(column) for column in SealedHetu._fields})
)


class Reencryption:
    """Moves the codes of a database to the vault's primary keys."""

    def __init__(self, engine: AsyncEngine, vault: HetuVault) -> None:
        self._engine = engine
        self._vault = vault
        # A person without a code has NULL here: the comparison is NULL, so the row is never selected.
        self._outdated = or_(Person.hetu_key_id != vault.key_id, Person.index_key_id != vault.index_key_id)

    async def remaining(self) -> int:
        """Number of codes stored under older keys."""
        async with self._engine.connect() as connection:
            return await connection.scalar(select(func.count()).where(self._outdated)) or 0

    async def run(self, advanced: Callable[[int], None]) -> None:
        """Re-encrypts until no code is stored under an older key; calls `advanced` with each batch's size.

        Raises `ReencryptionError` if a code cannot be read, or if two persons turn out to have the same one.
        """
        while await self.remaining():
            last: str | None = ""
            while last is not None:
                last, done = await self._batch(last)
                advanced(done)
            # Rows that remain were locked by others, or written meanwhile.
            await asyncio.sleep(_PAUSE)

    async def _batch(self, after: str) -> tuple[str | None, int]:
        """Re-encrypts the next batch; returns its last person's ID (None at the end) and its size."""
        outdated = (
            select(*(_PERSONS.c[column] for column in ("person_id", "hetu_ciphertext", "hetu_key_id")))
            .where(Person.person_id > after, self._outdated)
            .order_by(Person.person_id)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        )
        sealed: dict[str, SealedHetu] = {}
        try:
            async with self._engine.begin() as connection:
                for row in await connection.execute(outdated):
                    sealed[row.person_id] = self._reseal(row.person_id, row.hetu_ciphertext, row.hetu_key_id)
                if not sealed:
                    return None, 0
                await connection.execute(
                    _RESEAL,
                    [{"resealed_id": person_id, **one._asdict()} for person_id, one in sealed.items()],
                )
        except IntegrityError:
            raise await self._doubled(sealed.values()) from None
        return next(reversed(sealed)), len(sealed)

    async def _doubled(self, sealed: Iterable[SealedHetu]) -> ReencryptionError:
        found = select(Person.person_id).where(Person.hetu_index.in_([one.hetu_index for one in sealed]))
        async with self._engine.connect() as connection:
            doubled = ", ".join(await connection.scalars(found))
        return ReencryptionError(
            f"The code of person {doubled} is stored a second time under an older key, by an identity that"
            " was not restarted before the key was promoted: one of the two must be erased"
        )

    def _reseal(self, person_id: str, ciphertext: bytes, key_id: int) -> SealedHetu:
        try:
            return self._vault.reseal(ciphertext, person_id)
        except tink.TinkError:
            raise ReencryptionError(
                f"The code of person {person_id} cannot be read: the keyset lacks key {key_id}, or the row is"
                " damaged"
            ) from None
