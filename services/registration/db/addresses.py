"""Compares stored e-mail addresses, which are in normal form, in SQL."""

from typing import Any

from sqlalchemy import ColumnElement, String, func, literal_column


def address_of(form: ColumnElement[Any], person: str) -> ColumnElement[str]:
    """The address of a person on a stored form: `related_person` or `other_guardian`."""
    # As the indexes have it: SQLAlchemy's own subscripts are another expression.
    return form.op("->")(_sql(f"'{person}'")).op("->>", return_type=String())(_sql("'email'"))


def is_address(column: ColumnElement[str], address: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether mail to two addresses goes to the same one: servers do not look at the case of letters."""
    return func.lower(column) == func.lower(address)


def mailbox_key(address: ColumnElement[str]) -> ColumnElement[str]:
    """What all addresses of one mailbox share; which are the same, `email_addresses.mailbox` tells."""
    local = func.split_part(func.split_part(address, _sql("'@'"), _sql("1")), _sql("'+'"), _sql("1"))
    return func.replace(func.lower(local), _sql("'.'"), _sql("''"))


def _sql(constant: str) -> ColumnElement[str]:
    # No parameter: an index of an expression is used for the same expression only.
    return literal_column(constant)
