"""What is typed in forms."""

from datetime import timedelta

import pytest
from tink import aead, new_keyset_handle

from frontends.web import words
from frontends.web.forms import Form, Kind, typed_date, values_of
from frontends.web.pages import Draft
from frontends.web.registrations.fields import NEW_CUSTOMER
from frontends.web.sealing import Seal
from liity.v1.customer_form_pb2 import CustomerForm

aead.register()


@pytest.mark.parametrize(
    ("typed", "day"),
    [
        ("31.12.2027", (2027, 12, 31)),
        (" 1.2.2027. ", (2027, 2, 1)),
        ("01/02/2027", (2027, 2, 1)),
        ("1 2 2027", (2027, 2, 1)),
        ("2027-02-01", (2027, 2, 1)),
        ("1-2-2027", (2027, 2, 1)),
        ("31.2.2027", None),
        ("1.2.27", None),
        ("summer", None),
        ("", None),
    ],
)
def test_dates_are_taken_as_people_write_them(typed: str, day: tuple[int, int, int] | None) -> None:
    found = typed_date(typed)
    assert (found and (found.year, found.month, found.day)) == day


def test_what_is_filled_in_comes_back() -> None:
    form = Form(NEW_CUSTOMER)
    values = {
        each.path: {
            Kind.CHOICE: next(iter(dict(words.options(each.enum)))) if each.enum else "",
            Kind.TICK: "yes",
            Kind.DATE: "3.4.2027",
        }.get(each.kind, f"Text of {each.path}")
        for each in form.fields
    }
    message = CustomerForm()
    Form(NEW_CUSTOMER, values).fill(message)
    assert values_of(message, form.fields) == values


def test_the_form_has_every_field_of_the_contract_but_two() -> None:
    paths = {each.path for each in Form(NEW_CUSTOMER).fields}
    expected = set()
    for field in CustomerForm.DESCRIPTOR.fields:
        parts = (
            field.message_type.fields
            if field.message_type and field.message_type.file.package == "liity.v1"
            else []
        )
        expected |= {f"{field.name}.{part.name}" for part in parts} or {field.name}
    # One guardian's relation says enough; the other's is told where a list has it.
    assert expected - paths == {"address.country_code", "other_guardian.relation"}
    assert paths - expected == set()


def test_every_value_has_a_word() -> None:
    assert words.enums().keys() == words._WORDS.keys()
    for name, known in words.enums().items():
        told = {value for value, _ in words.options(name)}
        assert {value.name for value in known.values if value.number} == told


def test_sealed_values_open_for_their_purpose_and_time() -> None:
    seal = Seal(new_keyset_handle(aead.aead_key_templates.AES256_GCM))
    sealed = seal.seal("form", b"value", timedelta(hours=1))
    assert seal.unseal("form", sealed) == b"value"
    assert seal.unseal("link", sealed) is None
    assert seal.unseal("form", seal.seal("form", b"value", timedelta(0))) is None
    for wrong in ("", "x", sealed[:-2], sealed + "A", "ä", "A" * 5000):
        assert seal.unseal("form", wrong) is None


def test_a_draft_comes_back_as_it_was() -> None:
    seal = Seal(new_keyset_handle(aead.aead_key_templates.AES256_GCM))
    draft = Draft(
        "/register/save", {"first_names": "Åsa\nÕun", "empty": "", "last_name": "عبد"}, "a@b.fi", "units/u1"
    )
    assert Draft.unsealed(seal, draft.sealed(seal)) == draft
    assert Draft.unsealed(seal, "") is None


def test_a_draft_of_the_release_before_is_no_draft() -> None:
    """It names no account, so it could come back to anybody."""
    seal = Seal(new_keyset_handle(aead.aead_key_templates.AES256_GCM))
    for lines in (["/work"], ["/register/save", "last_name", "Mallikas"]):
        sealed = seal.seal("draft", "\x00".join(lines).encode(), timedelta(hours=1))
        assert Draft.unsealed(seal, sealed) is None
