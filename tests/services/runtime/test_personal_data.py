"""Every column of every table is told to whom it is about, or has a reason why it is not."""

from types import ModuleType

import pytest
from sqlalchemy import MetaData

import services.identity.models
import services.identity.privacy_export
import services.notification.models
import services.notification.privacy_export
import services.registration.db.models
import services.registration.privacy.export
from services.runtime.data.privacy import Kind

SERVICES = (
    (services.identity.models.Base.metadata, services.identity.privacy_export),
    (services.registration.db.models.Base.metadata, services.registration.privacy.export),
    (services.notification.models.Base.metadata, services.notification.privacy_export),
)


@pytest.mark.parametrize(("metadata", "told"), SERVICES)
def test_no_table_is_forgotten(metadata: MetaData, told: ModuleType) -> None:
    kinds: tuple[Kind, ...] = told.KINDS
    tables = [kind.table.name for kind in kinds]
    assert sorted([*tables, *told.NOT_OF_PERSONS]) == sorted(metadata.tables)
    assert all(told.NOT_OF_PERSONS.values())


@pytest.mark.parametrize("kind", [kind for _, told in SERVICES for kind in told.KINDS], ids=lambda k: k.name)
def test_every_column_is_told_or_has_a_reason_why_not(kind: Kind) -> None:
    left_out = set(kind.left_out)
    assert left_out <= set(kind.table.c.keys())
    assert all(kind.left_out.values())
    told = {column.name for column in kind.table.c if column in kind.columns}
    assert told | left_out == set(kind.table.c.keys())
    assert not told & left_out
    # Bytes tell a person nothing: they are keys, hashes, or encrypted.
    assert all(kind.table.c[name].type.python_type is not bytes for name in told)
    assert set(kind.enums) <= told
    assert kind.purpose
    assert kind.retention
