"""Two persons side by side: what is the same, and what differs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from frontends.web.forms import Field, values_of
from frontends.web.registrations.fields import ADDRESS, APPLYING, ENTITLEMENT, MORE, PERSON, USE
from liity.v1.customer_form_pb2 import CustomerForm

_FIELDS = [each for group in (PERSON, ADDRESS, APPLYING, ENTITLEMENT, USE, MORE) for each in group.fields]
_NAME = re.compile(r"units/[a-z0-9]{1,32}/customers/[a-z0-9]{1,32}")


@dataclass(frozen=True)
class Row:
    """One field of both."""

    field: Field
    one: str
    other: str

    @property
    def differs(self) -> bool:
        """Whether more than upper case and spaces differ."""
        return self.one.casefold().split() != self.other.casefold().split()


@dataclass(frozen=True)
class Pair:
    """Two persons: a title, a heading for each, and the fields that at least one of them has."""

    title: str
    one: str
    other: str
    rows: Sequence[Row]


def compare(title: str, one: tuple[str, CustomerForm], other: tuple[str, CustomerForm]) -> Pair:
    """Compares two forms, each given with its heading."""
    ones, others = values_of(one[1], _FIELDS), values_of(other[1], _FIELDS)
    rows = [
        Row(each, ones.get(each.path, ""), others.get(each.path, ""))
        for each in _FIELDS
        if each.path in ones or each.path in others
    ]
    return Pair(title, one[0], other[0], rows)


def customer_in(address: str) -> str:
    """`units/{unit}/customers/{customer}` in a pasted address of a customer's page; empty if it has none."""
    found = _NAME.search(address)
    return found[0] if found else ""
