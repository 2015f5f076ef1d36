"""`liity links` and `liity account` against the running stack: mailed links are opened."""

import json
import re
import subprocess
from datetime import UTC, timedelta

from deploy.local.mailbox.client import Mail, MailboxClient
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from liity.v1.registration_pb2 import PARTY_REGISTRAR, STAGE_DECLINED, STAGE_WAITING_FOR_CONSENT
from liity.v1.registration_service_pb2 import ExplainedEvent, ExplainRegistrationRequest
from services.runtime.clock import helsinki_day, now
from tests.system.conftest import Api, Liity
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    get,
    pupil,
    reaches,
    save,
    settings,
)

WELCOME_SOON = {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT2S"}
PASSWORD, NEW = "neljä sanaa on riittävästi", "viisi sanaa on enemmän vielä"


def link_in(text: str) -> str:
    """The whole personal link of a mail, as its reader copies it."""
    (link, *_) = re.findall(r"https?://\S+/[\w.~-]{20,}", text)
    return f"{link}\n"


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The reason that the program ended with."""
    (reason, *_) = re.findall(r"\((\w+)\)", ended.stderr)
    return str(reason)


async def mailed(mailbox: MailboxClient, to: str, page: str, after: str = "") -> str:
    """The newest link to a page that was mailed to an address, once it is another one."""

    def wanted(mail: Mail) -> bool:
        return f"/{page}/" in mail.text and link_in(mail.text) != after

    return link_in((await mailbox.wait_for(to, PATIENCE, wanted)).text)


async def test_a_guardian_reads_and_consents(api: Api, links: Liity, mails: MailCounter) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    link = link_in((await mails.wait_for(child, "consent_request")).text)

    shown = links("--language", "sv", "consent", "show", typed=link)
    assert child.form.first_names in shown.stdout, shown.stderr
    assert "2026-1" in shown.stdout

    accept = ("consent", "accept", "--guardian", child.form.related_person.full_name)
    thinking = links(*accept, typed=f"{link}n\n")
    assert thinking.returncode == 1
    assert child.form.first_names in thinking.stdout
    accepted = links(*accept, typed=f"{link}y\n")
    assert "The consent is given." in accepted.stdout, accepted.stderr
    # Case 18: the same link tells what was answered, and when.
    again = links("--language", "en", "consent", "show", typed=link)
    assert refusal(again) == "LINK_USED"
    assert "The consent was given on" in again.stderr
    assert "withdraw it by the same link" in again.stderr
    assert "ACCEPTED" in links("consent", "status", typed=link).stdout
    # What credentials are mailed for: the customer chooses a password by that link.
    credentials = link_in((await mails.wait_for(child, "credentials", saved)).text)
    short = links("choose-password", typed=f"{credentials}short\n")
    assert refusal(short) == "PASSWORD_TOO_WEAK"
    chosen = links("choose-password", typed=f"{credentials}{PASSWORD}\n")
    assert "Your user name is" in chosen.stdout, chosen.stderr
    assert PASSWORD not in chosen.stdout + chosen.stderr

    # The receipt holds the same link, by which the guardian withdraws the consent (R38).
    assert link_in((await mails.wait_for(child, "consent_receipt_given", saved)).text) == link
    assert links("consent", "withdraw", typed=f"{link}n\n").returncode == 1
    withdrawn = links("consent", "withdraw", "--yes", typed=link)
    assert "the customership has ended" in withdrawn.stdout, withdrawn.stderr
    assert "as told before" in links("consent", "withdraw", "--yes", typed=link).stdout
    assert "CONSENT WITHDRAWN" in links("consent", "status", typed=link).stdout.replace("_", " ")
    await mails.wait_for(child, "consent_receipt_withdrawn", saved)
    await mails.wait_for(child, "consent_withdrawn", saved)


async def test_a_guardian_declines(api: Api, links: Liity, mails: MailCounter) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    link = link_in((await mails.wait_for(child, "consent_request")).text)

    assert links("consent", "decline", typed=f"{link}n\n").returncode == 1
    declined = links("consent", "decline", "--yes", typed=link)
    assert "declined" in declined.stdout, declined.stderr
    await reaches(api.teacher, saved.name, STAGE_DECLINED)
    # The child's data is erased, yet the same link tells what was answered.
    assert "DECLINED" in links("consent", "status", typed=link).stdout


async def test_a_guardian_takes_a_decline_back_and_declines_for_good(
    stack: Stack, api: Api, links: Liity, mails: MailCounter
) -> None:
    child, other = pupil(), pupil()
    async with settings(stack, {"LIITY_WORKFLOWS_DECLINE_GRACE": "PT1H"}, "worker"):
        saved = await save(api.teacher, child)
        link = link_in((await mails.wait_for(child, "consent_request")).text)
        assert "Can be taken back until: 20" in links("consent", "decline", "--yes", typed=link).stdout
        status = links("consent", "status", typed=link).stdout
        assert "DECLINED" in status
        assert "Can be taken back until" in status
        explain = ExplainRegistrationRequest(name=saved.name)
        explained = await api.teacher.call(api.teacher.registrations.ExplainRegistration, explain)
        assert explained.next.time.ToDatetime(UTC) > now()
        assert explained.next.time == (await get(api.teacher, saved.name)).decline_end_time
        assert ExplainedEvent.KIND_DECLINE_RECEIVED in {event.kind for event in explained.events}
        taken_back = links("consent", "take-back", typed=link)
        assert "awaited again" in taken_back.stdout, taken_back.stderr
        assert "ASKED" in links("consent", "status", typed=link).stdout
        assert not (await get(api.teacher, saved.name)).HasField("decline_end_time")
    async with settings(stack, {"LIITY_WORKFLOWS_DECLINE_GRACE": "PT1S"}, "worker"):
        saved = await save(api.teacher, other)
        link = link_in((await mails.wait_for(other, "consent_request")).text)
        links("consent", "decline", "--yes", typed=link)
        await reaches(api.teacher, saved.name, STAGE_DECLINED)
        status = links("consent", "status", typed=link).stdout
        assert "DECLINED" in status
        assert "Can be taken back until" not in status
        # Repeating the answer is fine, taking it back is too late.
        assert "no more" in links("consent", "decline", "--yes", typed=link).stdout
        assert refusal(links("consent", "take-back", typed=link)) == "LINK_VOID"


async def test_who_is_not_the_guardian_says_so(api: Api, links: Liity, mails: MailCounter) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    link = link_in((await mails.wait_for(child, "consent_request")).text)
    reported = links("consent", "not-mine", "--yes", typed=link)
    assert "Reported" in reported.stdout, reported.stderr
    assert refusal(links("consent", "show", typed=link)) == "LINK_USED"
    assert "WRONG RECIPIENT" in links("consent", "status", typed=link).stdout.replace("_", " ")
    await mails.wait_for(child, "consent_wrong_recipient")
    explain = ExplainRegistrationRequest(name=saved.name)
    explained = await api.teacher.call(api.teacher.registrations.ExplainRegistration, explain)
    assert [wait.party for wait in explained.waits] == [PARTY_REGISTRAR]
    assert ExplainedEvent.KIND_WRONG_RECIPIENT in {event.kind for event in explained.events}
    assert (await get(api.teacher, saved.name)).stage == STAGE_WAITING_FOR_CONSENT


async def test_a_customer_confirms_an_address(
    api: Api, liity: Liity, links: Liity, mailbox: MailboxClient
) -> None:
    person, other = adult(), adult()
    await save(api.registrar, person)
    typed = f"{person.personal_identity_code}\n"
    name = json.loads(liity("registrar", "customers", "check", "--json", typed=typed).stdout)["customer"]
    etag = json.loads(liity("registrar", "customers", "show", name, "--json").stdout)["etag"]
    edited = liity("registrar", "customers", "edit", name, "--etag", etag, "--set", f"email={other.email}")
    assert f"{other.email} (unconfirmed)" in edited.stdout, edited.stderr

    confirmed = links("confirm-email", typed=await mailed(mailbox, other.email, "email"))
    assert "confirmed" in confirmed.stdout, confirmed.stderr
    assert f"{other.email} (confirmed)" in liity("registrar", "customers", "show", name).stdout


async def test_a_customer_extends_the_need_and_another_ends(
    stack: Stack, api: Api, links: Liity, mails: MailCounter
) -> None:
    staying, leaving = adult(), adult()
    staying.form.temporary = True
    async with settings(stack, WELCOME_SOON, "worker"):
        found = []
        for person in (staying, leaving):
            await save(api.registrar, person)
            found.append(link_in((await mails.wait_for(person, "welcome")).text))
    goes_on, ends = found

    shown = links("customership", "show", typed=goes_on)
    assert staying.form.first_names in shown.stdout, shown.stderr
    day = helsinki_day(now()) + timedelta(days=60)
    extended = links("customership", "extend", "--until", f"{day}", typed=goes_on)
    assert f"{day}" in extended.stdout, extended.stderr

    assert links("customership", "end", typed=f"{ends}n\n").returncode == 1
    ended = links("customership", "end", typed=f"{ends}y\n")
    assert "The data is kept until the end of" in ended.stdout, ended.stderr
    assert refusal(links("customership", "show", typed=ends)) in {"LINK_USED", "LINK_VOID"}


async def test_who_is_invited_gets_an_account_and_replaces_its_password(
    stack: Stack, api: Api, liity: Liity, links: Liity, mailbox: MailboxClient
) -> None:
    email = adult().email

    def account(*arguments: str, typed: str) -> subprocess.CompletedProcess[str]:
        tls = ("--gateway-ca", str(stack.ca)) if stack.ca else ()
        mine = ("--as", "", "--email", email, "--gateway", f"{HOST}:{stack.ports.gateway}", *tls)
        return liity("registrar", "account", *mine, *arguments, typed=typed)

    liity("staff", "registrars", "invite", email, "--unit", api.registrar.unit)
    link = await mailed(mailbox, email, "invitation")
    shown = links("invitation", "show", typed=link)
    assert email in shown.stdout, shown.stderr
    assert re.search(r"Has an account\W+no\b", shown.stdout)
    accepted = links("invitation", "accept", "--name", "Ulla Uusi", typed=f"{link}{PASSWORD}\n")
    assert api.registrar.unit in accepted.stdout, accepted.stderr

    # To another unit: the account that is there belongs to it from then on, and keeps its password.
    liity("staff", "registrars", "invite", email, "--unit", api.teacher.unit)
    another = await mailed(mailbox, email, "invitation", after=link)
    accepted = links("invitation", "accept", typed=another)
    assert api.teacher.unit in accepted.stdout, accepted.stderr
    mine = account("show", typed=f"{PASSWORD}\n").stdout
    assert "Ulla Uusi" in mine
    assert "as REGISTRAR" in mine
    assert api.registrar.unit in mine
    assert api.teacher.unit in mine

    # Lost (R22): the answer is the same whether or not anybody has the address.
    ordered = account("order-password", typed="")
    assert ordered.returncode == 0, ordered.stderr
    unknown = account("--email", adult().email, "order-password", typed="")
    assert unknown.stdout == ordered.stdout, unknown.stderr
    chosen = account("choose-password", typed=f"{await mailed(mailbox, email, 'account-password')}{NEW}\n")
    assert "log in with it" in chosen.stdout, chosen.stderr
    assert refusal(account("show", typed=f"{PASSWORD}\n")) == "WRONG_CREDENTIALS"
    told = json.loads(account("show", "--json", typed=f"{NEW}\n").stdout)
    assert told["displayName"] == "Ulla Uusi"
    assert set(told) == {"displayName", "memberships"}


async def test_a_link_of_nobodys_opens_nothing(api: Api, links: Liity) -> None:
    link = "https://liity.example/consent/nobodys\n"
    for command in ("consent show", "customership show", "invitation show", "confirm-email"):
        assert refusal(links(*command.split(), typed=link)) == "LINK_INVALID"
