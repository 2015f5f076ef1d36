"""A form's normal form, its storage, and a consent recorded by itself."""

from datetime import date, timedelta

import pytest
from google.type.date_pb2 import Date

from liity.registration.v1.unit_service_pb2 import UNIT_KIND_LIBRARY
from liity.v1 import customer_form_pb2 as pb
from liity.v1 import reason_pb2 as reasons
from liity.v1.customer_form_pb2 import CustomerForm, PaperConsent
from services.registration.forms.name_keys import sort_key
from services.registration.forms.normalise import consent_errors, form_errors, from_json, normalise, to_json
from services.registration.rules import email_fault, parse_phone
from services.runtime.clock import to_proto_date
from services.runtime.rpc.errors import reason_name
from services.runtime.text.email_addresses import fold, mailbox, normal
from tests.support.registration_forms import changed, child_form

TODAY = date(2026, 3, 15)
ADULT = date(1990, 1, 1)
YOUTH = date(2010, 1, 1)
CHILD = date(2017, 1, 1)


def signed(days_ago: int) -> PaperConsent:
    return PaperConsent(
        guardian_name="Kerttu Huoltaja", sign_date=to_proto_date(TODAY - timedelta(days=days_ago))
    )


def test_normalising_tidies_texts_and_leaves_the_original() -> None:
    form = changed(
        child_form(),
        first_names="  A\u0308i\u00adno \u00a0 Maria\u200b ",
        last_name="\ufeffVirta\u2060nen\u202c",
        email=" Aino@KOTI.example ",
        phone="040 123 4567",
        related_person__phone="+46 8 123 456",
        related_person__relation="\u200b",
        address__country_code="",
        additional_information="rivi\n\nriviä",
    )
    before = CustomerForm()
    before.CopyFrom(form)
    stored = normalise(form)
    assert normalise(stored) == stored
    assert form == before
    assert stored.first_names == "Äino Maria"
    assert stored.last_name == "Virtanen"
    assert stored.email == "Aino@koti.example"
    assert stored.phone == "+358401234567"
    assert stored.related_person.phone == "+468123456"
    assert stored.related_person.relation == ""
    assert stored.address.country_code == "FI"
    assert stored.additional_information == "rivi\n\nriviä"


@pytest.mark.parametrize(
    ("first_names", "last_name"),
    [
        ("Nur", ""),
        ("", "Nur"),
        ("-", "Nur"),
        ("Nur", "."),
        ("x", "Nur"),
        ("Nur", "none"),
        ("Nur", "N.N."),
        ("Nur", "(ei ole)"),
    ],
)
def test_one_name_is_enough(first_names: str, last_name: str) -> None:
    stored = normalise(changed(child_form(), first_names=first_names, last_name=last_name))
    assert (stored.first_names, stored.last_name) == ("Nur", "")
    assert normalise(stored) == stored
    assert sort_key(stored.last_name, stored.first_names) < sort_key("Nurmi", "Aino")
    assert sort_key(stored.last_name, stored.first_names) > sort_key("Niemi", "Aino")


@pytest.mark.parametrize("names", [("Ali", "Ali"), ("X Æ", "Musk"), ("李", "王"), ("N", "O'")])
def test_short_and_equal_names_stay(names: tuple[str, str]) -> None:
    stored = normalise(changed(child_form(), first_names=names[0], last_name=names[1]))
    assert (stored.first_names, stored.last_name) == names


def test_normalising_adds_no_part_that_was_left_out() -> None:
    stored = normalise(CustomerForm())
    assert stored == CustomerForm()
    assert not stored.HasField("address")
    assert not stored.HasField("related_person")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a@koti.example", "a@koti.example"),
        ("A.B+c@EXAMPLE.com", "A.B+c@example.com"),
        ("a@örebro.example", "a@örebro.example"),
        ("a@xn--rebro-iua.example", "a@örebro.example"),
        ("anna–maija@posti.example", "anna-maija@posti.example"),
        ("o’brien@posti.example", "o'brien@posti.example"),
        ("outi@posti.example”", "outi@posti.example"),
        ("äiti＠posti。example", "äiti@posti.example"),
        ("\u200bou\u00adti@po\u200bsti.example\u00a0", "outi@posti.example"),
        ("<mailto:outi@posti.example?subject=moi>;", "outi@posti.example"),
        ("outi@posti.example.", "outi@posti.example"),
        ("o`brien@posti.example", "o'brien@posti.example"),
        ("mailto://outi@posti.example", "outi@posti.example"),
        ("*outi@posti.example", "outi@posti.example"),
        ("– outi@posti.example", "outi@posti.example"),
        ("✉ outi@posti.example", "outi@posti.example"),
        ("outi@posti.example<mailto:outi@posti.example>", "outi@posti.example"),
        ("Outi@posti.example [mailto:outi@posti.example]", "Outi@posti.example"),
        ("[outi@posti.example](mailto:outi@posti.example)", "outi@posti.example"),
        ('"outi@posti.example" <outi@posti.example>', "outi@posti.example"),
        ("иван@почта.example", "иван@почта.example"),
        ("\u043euti@posti.example", "EMAIL_SIGN"),
        ("outi@p\u03bfsti.example", "EMAIL_SIGN"),
        ("outiª@posti.example", "EMAIL_SIGN"),
        ("outi…esimerkki@posti.example", "EMAIL_SIGN"),
        ("outi@posti→.example", "EMAIL_SIGN"),
        ("a@localhost", "INVALID_EMAIL"),
        ("a b@koti.example", "INVALID_EMAIL"),
        ("Aino <a@koti.example>", "a@koti.example"),
        ('"Virtanen, Aino" <a@koti.example>;', "a@koti.example"),
        ("Aino <a@koti.example> Eetu <e@koti.example>", "INVALID_EMAIL"),
        ("a@koti.example <e@koti.example>", "INVALID_EMAIL"),
        ("a@posti.e", "INVALID_EMAIL"),
        ("a@koti.example, b@koti.example", "INVALID_EMAIL"),
    ],
)
def test_email_addresses(text: str, address: str) -> None:
    fault = email_fault(text)
    assert (normal(text) if fault is None else reason_name(fault)) == address


@pytest.mark.parametrize(
    ("one", "other", "same_address", "same_mailbox"),
    [
        ("Outi.Malli@Posti.Example", "outi.malli@posti.example", True, True),
        ("ÄITI@åland.example", "äiti@xn--land-poa.example", True, True),
        ("<mailto:outi@posti.example>", "outi@posti.example", True, True),
        ("outi+lapsi@posti.example", "outi@posti.example", False, True),
        ("outi+1@posti.example", "OUTI+2@posti.example", False, True),
        ("outi.malli@gmail.com", "OutiMalli+x@googlemail.com", False, True),
        ("o.u.t.i@googlemail.com", "outi@googlemail.com", False, True),
        ("outi.malli@posti.example", "outimalli@posti.example", False, False),
        ("outi@gmail.com", "outi@gmail.fi", False, False),
        ("+1@posti.example", "+2@posti.example", False, False),
    ],
)
def test_addresses_are_compared_in_one_form(
    one: str, other: str, same_address: bool, same_mailbox: bool
) -> None:
    """Cases 17 and 26: which are one address, and which are read by one person."""
    assert (fold(one) == fold(other), mailbox(one) == mailbox(other)) == (same_address, same_mailbox)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("040 1234567", "+358401234567"),
        ("(09) 123-4567", "+35891234567"),
        ("+46 8 123 456", "+468123456"),
        ("00358401234567", "+358401234567"),
        ("+358 (0)40 123 4567", "+358401234567"),
        ("tel:+358–40−123\u00a04567", "+358401234567"),
        ("０４０ １２３４５６７", "+358401234567"),
        ("040/1234567", "+358401234567"),
        ("0457 313 5157", "+3584573135157"),
        ("040 123 4567,", "+358401234567"),
        ("040 123 4567.", "+358401234567"),
        ("puh. 040 123 4567", "+358401234567"),
        ("Tel: 040-1234567", "+358401234567"),
        ("(+358 40) 123 4567", "+358401234567"),
        ("+358 40/1234567", "+358401234567"),
        ("44 123 4567", "+358441234567"),
        ("123 4567", None),
        ("5551234", None),
        ("040 12345", None),
        ("+46 70 123 45 67 16", None),
        ("+247 1 2345", "+24712345"),
        ("+00 5 1234", None),
        ("+46 70 123 45 67", "+46701234567"),
        ("040 123 4567 mor", None),
        ("040 123 4567 (isa)", None),
        ("040 123 4567 (isä)", None),
        ("040 123 4567 tyo", None),
        ("äiti 040 123 4567", None),
        ("040 123 4567 kl 16", None),
        ("040 123 4567 16", None),
        ("09 123 4567 16", None),
        ("019 12345 (19)", None),
        ("029 515 0500", "+358295150500"),
        ("(+358) 40 1234567", "+358401234567"),
        ("040 123 4567 2", None),
        ("040 123 4567 / 050 765 4321", None),
        ("040 123 4567, 050 765 4321", None),
        ("040 123 4567 x12", None),
        ("040 123 4567;ext=12", None),
        ("0800 KIRJAT", None),
        ("112x", None),
        ("+999 123 456", None),
        ("0" * 7, None),
        ("0" * 30, None),
    ],
)
def test_telephone_numbers(text: str, number: str | None) -> None:
    assert parse_phone(text) == number


@pytest.mark.parametrize("text", ["-", "–", "?", "...", '"'])
def test_what_says_nothing_is_left_out(text: str) -> None:
    form = changed(child_form(), phone=text, email=text, address__street_address=text)
    stored = normalise(changed(form, related_person__phone=text, additional_information=text))
    assert (stored.phone, stored.email, stored.address.street_address) == ("", "", "")
    assert (stored.related_person.phone, stored.additional_information) == ("", text)


@pytest.mark.parametrize(
    ("text", "country", "postcode"),
    [
        ("FI-00100", "", "00100"),
        ("FIN 00100", "FI", "00100"),
        ("fi00100", "FI", "00100"),
        ("001 00", "", "00100"),
        ("AX-22100", "", "22100"),
        ("001 00", "SE", "001 00"),
        ("00100 Helsinki", "", "00100 Helsinki"),
        ("0010", "", "0010"),
        ("001000", "", "001000"),
    ],
)
def test_postcodes(text: str, country: str, postcode: str) -> None:
    form = changed(child_form(), address__postcode=text, address__country_code=country)
    assert normalise(form).address.postcode == postcode


def test_a_form_survives_its_storage() -> None:
    form = changed(
        child_form(),
        paper_consent=signed(3),
        print_disability=pb.PRINT_DISABILITY_COGNITIVE,
        disability_storage_allowed=True,
    )
    assert from_json(to_json(form)) == form
    assert from_json({**to_json(form), "field_of_tomorrow": {"x": 1}}) == form


@pytest.mark.parametrize(
    ("consent", "errors"),
    [
        (signed(0), {}),
        (signed(90), {}),
        (PaperConsent(), {"guardian_name": "REQUIRED", "sign_date": "REQUIRED"}),
        (
            PaperConsent(guardian_name=" ", sign_date=Date()),
            {"guardian_name": "REQUIRED", "sign_date": "INVALID_DATE"},
        ),
        (signed(91), {"sign_date": "CONSENT_TOO_OLD"}),
        (signed(-1), {"sign_date": "DATE_IN_FUTURE"}),
        (
            PaperConsent(guardian_name="x" * 101, sign_date=to_proto_date(TODAY)),
            {"guardian_name": "TOO_LONG"},
        ),
        (
            PaperConsent(guardian_name="K\x00", sign_date=to_proto_date(TODAY)),
            {"guardian_name": "FORBIDDEN_CHARACTERS"},
        ),
    ],
)
def test_a_consent_on_paper(consent: PaperConsent, errors: dict[str, str]) -> None:
    assert {
        field: reasons.Reason.Name(reason).removeprefix("REASON_")
        for field, reason in consent_errors(consent, TODAY)
    } == {f"consent.{field}": reason for field, reason in errors.items()}


@pytest.mark.parametrize("name", ["MÃ¤kinen", "M\ufffdkinen", "M&auml;kinen", "LindstrÃ¶m"])
def test_letters_that_a_program_has_changed_are_told(name: str) -> None:
    form = normalise(changed(child_form(), last_name=name, related_person__full_name=f"Outi {name}"))
    form.additional_information = f"Ei ole {name}."
    found = form_errors(
        form, birth_date=date(2018, 5, 1), unit_kind=UNIT_KIND_LIBRARY, today=date(2026, 3, 1)
    )
    assert [(error.field, reason_name(error.reason)) for error in found] == [
        ("form.last_name", "GARBLED_TEXT"),
        ("form.related_person.full_name", "GARBLED_TEXT"),
    ]
