"""SQL that tells protected persons (R37), and leaves out the names of their units."""

from typing import Any

from sqlalchemy import ColumnElement, case, exists, literal

from services.registration.db.models import protected_persons, units


def is_protected(person_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the person of a row is protected."""
    return exists().where(protected_persons.c.person_id == person_id).correlate_except(protected_persons)


def unit_name_of(person_id: ColumnElement[Any]) -> ColumnElement[str]:
    """The unit's name; empty if the person of the row is protected."""
    return case((is_protected(person_id), literal("")), else_=units.c.display_name).label("unit_display_name")
