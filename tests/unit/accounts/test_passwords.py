"""Password hashes: as much work as RFC 9106 asks of who guesses."""

from services.identity.accounts.passwords import Passwords


async def test_a_hash_takes_the_work_of_rfc_9106() -> None:
    """The second recommended option, of section 4: argon2id, three passes, four lanes, 64 MiB."""
    passwords = Passwords()
    stored = await passwords.hash("korrekt häst batteri")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.verify(stored, "korrekt ha\u0308st batteri")
    assert not await passwords.verify(stored, "korrekt hast batteri")
    assert not await passwords.verify(None, "korrekt häst batteri")
