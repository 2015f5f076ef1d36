"""The fields of a new customer's form, as the contract has them, in the order of the page."""

from collections.abc import Sequence

from frontends.web.forms import Field, Group, Kind
from frontends.web.language import N_

LANGUAGE = Field("language", N_("Language"), Kind.CHOICE, N_("Mail comes in this language."), "Language")
HOME = (
    Field("address.street_address", N_("Street address")),
    Field("address.postcode", N_("Postcode"), width="short"),
    Field("address.post_office", N_("Post office"), width="medium"),
    Field("address.municipality", N_("Municipality of residence"), width="medium"),
)

PROTECTED = Field(
    "protected_person",
    N_("The person has a non-disclosure order, or needs protection for another reason"),
    Kind.TICK,
    N_(
        "Then leave the address empty. Customer service alone sees the telephone numbers and the additional "
        "information, and arranges what is sent by post."
    ),
    optional=True,
)
"""Only of a new customer: later, customer service marks and unmarks."""

PERSON = Group(
    N_("The customer"),
    [
        Field("first_names", N_("First names")),
        Field("last_name", N_("Last name")),
        LANGUAGE,
    ],
)
ADDRESS = Group(
    N_("Contact information"),
    [
        *HOME,
        Field(
            "email",
            N_("E-mail address of the customer"),
            Kind.EMAIL,
            N_("Needed if the credentials go to the customer."),
            optional=True,
            sometimes=True,
        ),
        Field("phone", N_("Telephone of the customer"), Kind.TEL, optional=True, width="medium"),
    ],
)
ENTITLEMENT = Group(
    N_("The right to use the library"),
    [
        Field(
            "entitlement_declared",
            N_("The person cannot read ordinary print because of a disability or an illness"),
            Kind.TICK,
            N_("Weak Finnish or Swedish alone is not enough. No certificate is asked for."),
        ),
        Field(
            "school_support",
            N_("Support at school"),
            Kind.CHOICE,
            N_("A school tells it, others do not."),
            "SchoolSupport",
            optional=True,
            sometimes=True,
        ),
        Field(
            "print_disability",
            N_("Why ordinary print cannot be read"),
            Kind.CHOICE,
            N_("Only if the person wishes to tell it, and allows storing it below."),
            "PrintDisability",
            optional=True,
        ),
        Field(
            "temporary",
            N_("The need is temporary, from an injury or an illness that passes"),
            Kind.TICK,
            optional=True,
        ),
        Field(
            "expected_end_date",
            N_("When the temporary need is expected to end"),
            Kind.DATE,
            N_("For example 31.12.2027."),
            optional=True,
            sometimes=True,
            width="short",
        ),
    ],
)
APPLYING = Group(
    N_("Who applies"),
    [
        Field(
            "applicant", N_("Who applies"), Kind.CHOICE, N_("For a child under 15, a guardian."), "Applicant"
        ),
        Field(
            "related_person.full_name",
            N_("Name of the guardian or contact person"),
            optional=True,
            sometimes=True,
        ),
        Field(
            "related_person.email",
            N_("E-mail address of the guardian or contact person"),
            Kind.EMAIL,
            N_("A guardian of a child under 15 is asked for consent at this address."),
            optional=True,
            sometimes=True,
        ),
        Field(
            "related_person.phone",
            N_("Telephone of the guardian or contact person"),
            Kind.TEL,
            optional=True,
            width="medium",
        ),
        Field("related_person.relation", N_("Relation to the customer"), optional=True, width="medium"),
        Field(
            "other_guardian.full_name",
            N_("Name of the other guardian"),
            hint=N_("Only if both guardians of a child under 15 are to be asked for consent by mail."),
            optional=True,
        ),
        Field(
            "other_guardian.email",
            N_("E-mail address of the other guardian"),
            Kind.EMAIL,
            N_("Another address than the first guardian's."),
            optional=True,
        ),
        Field(
            "other_guardian.phone",
            N_("Telephone of the other guardian"),
            Kind.TEL,
            optional=True,
            width="medium",
        ),
        Field(
            "paper_consent.guardian_name",
            N_("Consent on paper: name of the guardian who signed"),
            hint=N_("Only if a guardian of a child under 15 has consented on paper already."),
            optional=True,
        ),
        Field(
            "paper_consent.sign_date",
            N_("Consent on paper: day of the signature"),
            Kind.DATE,
            N_("At most 90 days ago."),
            optional=True,
            width="short",
        ),
    ],
)
USE = Group(
    N_("How the library is used"),
    [
        Field("kind", N_("Kind of customer"), Kind.CHOICE, enum="CustomerKind"),
        Field(
            "credentials_recipient",
            N_("Where the credentials go"),
            Kind.CHOICE,
            N_("Of an online customer: choose one."),
            "CredentialsRecipient",
            optional=True,
            sometimes=True,
        ),
    ],
)
CHOICES = Group(
    N_("Terms and permissions"),
    [
        Field("terms_accepted", N_("The terms of use are accepted"), Kind.TICK),
        Field(
            "disability_storage_allowed",
            N_("The library may store why ordinary print cannot be read"),
            Kind.TICK,
            optional=True,
        ),
        Field("marketing_allowed", N_("The library may send news and marketing"), Kind.TICK, optional=True),
    ],
)
MORE = Group(
    N_("Additional information"),
    [
        Field(
            "additional_information",
            N_("Additional information"),
            Kind.LONG,
            N_("Not for urgent matters: nobody reads this in haste. Write to customer service instead."),
            optional=True,
        )
    ],
)

NEW_ADDRESS = Group(ADDRESS.title, [PROTECTED, *ADDRESS.fields])

NEW_CUSTOMER = (PERSON, NEW_ADDRESS, ENTITLEMENT, APPLYING, USE, CHOICES, MORE)
"""The whole form."""

EDITABLE = {"person": PERSON, "contact": ADDRESS, "related": APPLYING, "more": MORE}
"""Groups that can be edited afterwards."""

_WITHHELD = frozenset(
    {*(each.path for each in HOME), "phone", "related_person.phone", "additional_information"}
)
"""What of a protected person stands in no form (R37): it can be neither seen nor edited."""


def editable(groups: Sequence[Group], *, protected: bool) -> Sequence[Group]:
    """The groups as they can be edited of a customer, protected or not."""
    if not protected:
        return groups
    shown = [
        Group(group.title, [each for each in group.fields if each.path not in _WITHHELD], group.note)
        for group in groups
    ]
    return [group for group in shown if group.fields]


WITHOUT_CODE = Group(
    N_("No personal identity code"),
    [
        Field("birth_date", N_("Date of birth"), Kind.DATE, N_("For example 31.12.2012."), width="short"),
        Field("reason", N_("Why there is no code"), Kind.CHOICE, enum="MissingCodeReason"),
    ],
    N_("Customer service checks who the person is before the customership begins."),
)

PAPER_CONSENT = Group(
    N_("The guardian's consent"),
    [
        Field("guardian_name", N_("Name of the guardian who consented")),
        Field("sign_date", N_("Day of the consent"), Kind.DATE, N_("At most 90 days ago."), width="short"),
    ],
)
