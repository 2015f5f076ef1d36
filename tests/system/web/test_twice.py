"""Each form sent by a double click, and once more by a reload: the work is done once, and told the same."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.message_service_pb2 import ListMessagesRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from liity.v1.unit_service_pb2 import UNIT_KIND_SCHOOL
from services.runtime.clock import helsinki_day, now
from tests.support.registration_forms import paper_consent
from tests.support.web_visitor import HtmlForm, Seen, Visitor
from tests.system.conftest import Api
from tests.system.registrations.test_decisions import mark_for_deletion, register, without_code
from tests.system.support.accounts import new_account
from tests.system.support.class_lists import csv_of, pupil_row
from tests.system.support.public_api_facts import customership_link
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    link_token,
    pupil,
    reaches,
    save,
)
from tests.system.units.test_units import create, invite, named, registrars, token_mailed_to

PASSWORD = "kolme sanaa riittää"  # pragma: allowlist secret


class Act(NamedTuple):
    """A form that is filled in, before its button is pressed."""

    form: HtmlForm
    typed: Mapping[str, str]
    button: tuple[str, str] | None = None


async def twice(visitor: Visitor, act: Act) -> list[str]:
    """Presses the button twice at once, and reloads the answer. What differs, or is no answer."""
    answers = await asyncio.gather(*(visitor.send(act.form, act.typed, act.button) for _ in range(2)))
    answers.append(await visitor.send(act.form, act.typed, act.button))
    told = [told_by(answer) for answer in answers]
    wrong = [
        f"{one[:2]} {answer.text[:200]}" for one, answer in zip(told, answers, strict=True) if one[0] != 200
    ]
    return wrong or ([f"{each[:3]}" for each in told] if len(set(told)) > 1 else [])


def told_by(answer: Seen) -> tuple[int, str, str]:
    return answer.status, answer.path, answer.title


async def wrong_of(
    visitor: Visitor, acts: Mapping[str, Callable[[], Awaitable[Act]]]
) -> dict[str, list[str]]:
    """What is wrong, by act."""
    found = {}
    for name, act in acts.items():
        if wrong := await twice(visitor, await act()):
            found[name] = wrong
    return found


async def mailed(stack: Stack, recipient: str, page: str) -> str:
    """The newest link to a page that was mailed to an address."""

    async def links() -> list[str]:
        mails = sorted(Maildir(stack.folder / "mail").sent_to(recipient), key=lambda mail: mail.id)
        return [link for mail in mails for link in re.findall(rf"/{page}/[\w.~-]{{20,}}", mail.text)]

    return (await eventually(links, bool, PATIENCE))[-1]


async def test_what_a_mailed_link_does(
    stack: Stack, api: Api, web: str, mails: MailCounter, accounts: Mapping[str, DemoAccount]
) -> None:
    """Also when the link is opened in two tabs, and the first tab is sent after the second."""
    person, leaving, hurt, account = adult(), adult(), adult(), await new_account(stack)
    hurt.form.temporary = True
    registrations = [await save(api.registrar, each) for each in (person, leaving, hurt)]
    names = [(await reaches(api.registrar, each.name, STAGE_CREDENTIALS_SENT)).name for each in registrations]
    unit, day = (await create(api)).name, helsinki_day(now()) + timedelta(days=60)
    invited = f"{uuid.uuid4().hex}@kirjasto.example"
    for email in (invited, account.email):
        await invite(api.staff, unit, email)
    goes_on, end, need = [await customership_link(stack, name) for name in names]
    async with Visitor(web) as reader:

        async def opened(link: str, **typed: str) -> Act:
            await reader.get(link)
            page = await reader.get(link)
            assert page.status == 200, page.text
            return Act(page.form, typed)

        async def lost() -> Act:
            page = await reader.get("/lost-password")
            await reader.send(page.form, {"email": account.email})
            return await opened(await mailed(stack, account.email, "account-password"), password=PASSWORD)

        async def ended() -> Act:
            asked = await opened(f"/customership/{end}", choice="end")
            return Act((await reader.send(asked.form, asked.typed)).form, {"sure": "yes"})

        async def moved_address() -> Act:
            """The address is changed by the registrar's page, and confirmed by the mailed link."""
            email = f"{uuid.uuid4().hex}@posti.example"
            registrar = accounts["registrar"]
            async with Visitor(web) as editor:
                await editor.log_in(registrar.email, registrar.password)
                customer = (await reaches(api.registrar, names[0], STAGE_CREDENTIALS_SENT)).customer
                await editor.send((await editor.get(f"/{customer}/edit")).form, {"email": email})
            return await opened(await mailed(stack, email, "email"), mine="yes")

        new, old = await token_mailed_to(stack, invited), await token_mailed_to(stack, account.email)
        password = link_token(await mails.wait_for(person, "credentials"))
        wrong = await wrong_of(
            reader,
            {
                "password": lambda: opened(f"/password/{password}", password=PASSWORD),
                "lost password": lost,
                "invitation": lambda: opened(
                    f"/invitation/{new}", password=PASSWORD, display_name="Ulla Uusi"
                ),
                "invitation to an account": lambda: opened(f"/invitation/{old}", sure="yes"),
                "need": lambda: opened(f"/customership/{goes_on}", choice="extend"),
                "need for a time": lambda: opened(
                    f"/customership/{need}", choice="extend", expected_end_date=f"{day:%d %m %Y}"
                ),
                # Its mail has a new link to the customership, too.
                "address": moved_address,
                "end": ended,
            },
        )
    assert wrong == {}
    joined = [each.email for each in await registrars(api.staff, unit)]
    assert sorted(joined) == sorted([invited, account.email])


async def test_what_a_registrar_does(stack: Stack, api: Api, mails: MailCounter, teacher: Visitor) -> None:
    waiting, signed, withdrawn, grown, leaving, elsewhere = (
        pupil(),
        pupil(),
        pupil(),
        pupil(),
        pupil(),
        adult(),
    )
    for each in (grown, leaving):
        each.form.paper_consent.CopyFrom(paper_consent())
    saved = {
        each.email: await save(api.teacher, each) for each in (waiting, signed, withdrawn, grown, leaving)
    }
    await save(api.registrar, elsewhere)
    await mails.wait_for(waiting, "consent_request")
    customers = {
        each.email: (await reaches(api.teacher, saved[each.email].name, STAGE_CREDENTIALS_SENT)).customer
        for each in (grown, leaving)
    }
    invited, text = f"{uuid.uuid4().hex}@koulu.example", f"Kortti puuttuu {new_request_id()}"

    async def at(path: str, form: str = "main-form", **typed: str) -> Act:
        page = await teacher.get(path)
        return Act(next(each for each in page.forms if each.id == form), typed)

    async def transfer() -> Act:
        asked = await at("/register", personal_identity_code=elsewhere.personal_identity_code)
        return Act((await teacher.send(asked.form, asked.typed)).form, {}, ("act", "transfer"))

    async def class_list() -> Act:
        page = await teacher.get("/class-lists/new")
        report = await teacher.upload(page.form, csv_of([pupil_row(1)]), "luokka.csv")
        return Act(report.form, {}, ("act", "register"))

    day = helsinki_day(now())
    consent = {"guardian_name": "Outi Huoltaja", "sign_date": f"{day.day}.{day.month}.{day.year}"}
    wrong = await wrong_of(
        teacher,
        {
            "edit": lambda: at(f"/{saved[waiting.email].name}/edit", additional_information="Soita"),
            "remind": lambda: at(f"/{saved[waiting.email].name}", "remind"),
            "consent": lambda: at(f"/{saved[signed.email].name}/consent", **consent),
            "withdraw": lambda: at(f"/{saved[withdrawn.email].name}/withdraw", sure="yes"),
            "edit a customer": lambda: at(f"/{customers[grown.email]}/edit", phone="040 1234567"),
            "credentials": lambda: at(
                f"/{customers[grown.email]}/credentials", recipient="CREDENTIALS_RECIPIENT_RELATED_PERSON"
            ),
            "end": lambda: at(f"/{customers[leaving.email]}/end", reason="END_REASON_OWN_WISH"),
            "message": lambda: at("/messages/new", context="MESSAGE_CONTEXT_OTHER", text=text),
            "transfer": transfer,
            "invite": lambda: at("/registrars/invite", email=invited, language="LANGUAGE_FI"),
            "class list": class_list,
        },
    )
    assert wrong == {}
    written = await api.teacher.call(
        api.teacher.messages.ListMessages, ListMessagesRequest(parent=api.teacher.unit)
    )
    assert [message.text for message in written.messages].count(text) == 1
    await mails.wait_for(waiting, "consent_reminder")
    assert mails.templates(waiting)["consent_reminder"] == 1
    name = await named(api.teacher, api.teacher.unit, invited)
    removal = await wrong_of(
        teacher, {"remove": lambda: at(f"/registrars/{name.rpartition('/')[2]}/remove", sure="yes")}
    )
    assert removal == {}


async def test_what_customer_service_does(stack: Stack, api: Api, staff: Visitor) -> None:
    unknown, rejected, back = adult(), adult(), adult()
    names = [
        (await register(api.registrar, without_code(api.registrar, each))).name
        for each in (unknown, rejected)
    ]
    saved = await reaches(api.registrar, (await save(api.registrar, back)).name, STAGE_CREDENTIALS_SENT)
    await mark_for_deletion(stack, saved.customer)
    name = f"Koulu {new_request_id()}"
    unit = (await create(api, UNIT_KIND_SCHOOL, f"Vanha {name}")).name
    invited = f"{uuid.uuid4().hex}@koulu.example"

    async def at(path: str, form: str = "main-form", **typed: str) -> Act:
        page = await staff.get(path)
        return Act(next(each for each in page.forms if each.id == form), typed)

    async def checked(path: str, **typed: str) -> Act:
        """What is seen before it is sent."""
        asked = await at(path, **typed)
        return Act((await staff.send(asked.form, typed)).form, {}, ("act", "send"))

    async def claimed(form: str) -> Act:
        return await at(f"/work/2-{names[0].rpartition('/')[2]}", form)

    wrong = await wrong_of(
        staff,
        {
            "claim": lambda: claimed("claim"),
            "release": lambda: claimed("release"),
            "verify": lambda: at(f"/{names[0]}/verify", sure="yes"),
            "reject": lambda: checked(f"/{names[1]}/reject", note="Nimi puuttuu"),
            "undo": lambda: at(f"/{saved.customer}/undo", sure="yes"),
            "unit": lambda: at("/units/new", display_name=name, kind="UNIT_KIND_SCHOOL"),
            "rename": lambda: at(f"/{unit}/rename", display_name=f"Uusi {name}"),
            "invite": lambda: at(
                f"/{unit}/invite", email=invited, language="LANGUAGE_FI", role="ROLE_MAIN_USER"
            ),
            "close": lambda: at(f"/{unit}/close", sure="yes"),
        },
    )
    assert wrong == {}
