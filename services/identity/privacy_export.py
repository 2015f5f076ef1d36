"""Personal data that identity stores about a person, and why: for access requests."""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.identity.v1.link_service_pb2 import LinkPurpose
from liity.v1.consent_service_pb2 import ConsentRequestState
from liity.v1.customer_service_pb2 import CodeChange as CodeChangeKind
from liity.v1.personal_data_pb2 import PersonalDataSection
from services.identity.models import CodeChange, Credential, Link, Person
from services.identity.persons.vault import HetuVault
from services.runtime.data.privacy import Kind, with_records

_persons = cast(Table, Person.__table__)
_code_changes = cast(Table, CodeChange.__table__)
_credentials = cast(Table, Credential.__table__)
_links = cast(Table, Link.__table__)

_AS_LONG_AS_KNOWN = "As long as the person is a customer or is being registered."

PERSON = Kind(
    name="personal_identity_code",
    table=_persons,
    purpose="To know the person from every other one, also when they come back.",
    retention=_AS_LONG_AS_KNOWN,
    left_out={
        "hetu_ciphertext": "told decrypted, as personal_identity_code",
        "hetu_key_id": "names a key",
        "hetu_index": "a keyed hash of the code",
        "index_key_id": "names a key",
        "without_code_request_id": "names a call",
        "merged_into": "names the person, where a record is a code of theirs that was dropped in a merge",
    },
)
CODE_CHANGES = Kind(
    name="personal_identity_code_changes",
    table=_code_changes,
    purpose="To make a change of the code as a whole, and only once.",
    retention="Until 30 days after the change; for an hour if nothing comes of it.",
    left_out={
        "request_id": "names a call",
        "hetu_ciphertext": "a code that is not the person's yet, for a moment",
        "nobody": "names a person nothing is known of",
    },
    enums={"change": CodeChangeKind},
)
CREDENTIALS = Kind(
    name="credentials",
    table=_credentials,
    purpose="To log in to the online library.",
    retention=_AS_LONG_AS_KNOWN,
    left_out={"password_hash": "a hash: it opens what it protects if it gets about"},
)
LINKS = Kind(
    name="links",
    table=_links,
    purpose="Links in mail, by which a guardian consents, or a customer chooses a password, confirms an "
    "address, or ends the own customership.",
    retention="Until 30 days after they expire. What they open is erased with the person.",
    left_out={
        "link_id": "the secret of the link is made of it",
        "request_id": "names a call of the system's own",
        "used_request_id": "names a call",
    },
    enums={"purpose": LinkPurpose, "consent_state": ConsentRequestState},
)

KINDS = (PERSON, CODE_CHANGES, CREDENTIALS, LINKS)

NOT_OF_PERSONS = {
    "accounts": "of registrars and staff, who work with the system",
    "memberships": "of accounts",
    "invitations": "of registrars",
    "registrar_removals": "of accounts",
    "role_changes": "of accounts",
    "sessions": "of accounts",
    "refresh_tokens": "of accounts",
    "merge_undos": "copies of rows, for 30 days: the rows are told where the merge has moved them",
    "limits": "counts by a hash of an account or a network address",
    "known_places": "of accounts",
    "lock_outs": "counts by a hash of an account",
    "known_keys": "names the keys that have been used",
}
"""Tables without data of registered persons, each with the reason."""


async def export(
    connection: AsyncConnection, vault: HetuVault, person_id: str, subject_ids: Sequence[str]
) -> list[PersonalDataSection]:
    """All data stored about a person; `subject_ids` are their further IDs that links may have as subject."""
    of_person = (
        select(*PERSON.columns, _persons.c.hetu_ciphertext)
        .where(or_(_persons.c.person_id == person_id, _persons.c.merged_into == person_id))
        .order_by(_persons.c.merged_into.nulls_first(), _persons.c.person_id)
    )
    persons: list[dict[Any, Any]] = []
    for row in (await connection.execute(of_person)).mappings():
        ciphertext = row["hetu_ciphertext"]
        told = {name: value for name, value in row.items() if name != "hetu_ciphertext"}
        # A person without a code is known by the ID alone (R24).
        code = {"personal_identity_code": vault.open(ciphertext, row["person_id"])} if ciphertext else {}
        persons.append({**code, **told})
    code_changes = (
        select(*CODE_CHANGES.columns)
        .where(_code_changes.c.person_id == person_id)
        .order_by(_code_changes.c.prepared_at, _code_changes.c.request_id)
    )
    credentials = select(*CREDENTIALS.columns).where(_credentials.c.person_id == person_id)
    links = (
        select(*LINKS.columns)
        .where(_links.c.subject.in_([person_id, *subject_ids]))
        .order_by(_links.c.created_at, _links.c.link_id)
    )
    return with_records(
        [
            PERSON.section(persons),
            CODE_CHANGES.section((await connection.execute(code_changes)).mappings()),
            CREDENTIALS.section((await connection.execute(credentials)).mappings()),
            LINKS.section((await connection.execute(links)).mappings()),
        ]
    )
