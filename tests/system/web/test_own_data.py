"""Customers see and correct their own contact data, and who has looked at it, by the link in their mail."""

from dataclasses import replace
from datetime import date

import pytest

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.dates import to_proto_date
from liity.v1.customer_service_pb2 import Customer
from liity.v1.customership_link_service_pb2 import GetOwnContactDataRequest
from services.identity import hetu
from services.runtime.clock import helsinki_day, now
from tests.support.web_visitor import Visitor
from tests.system.conftest import Api
from tests.system.customers.test_removal import WELCOME_SOON, end, refused
from tests.system.customers.test_transfer import customer_of
from tests.system.support.registering import (
    MailCounter,
    adult,
    link_token,
    save,
    settings,
)


@pytest.fixture
async def welcomed(stack: Stack, api: Api, mails: MailCounter) -> tuple[DemoPerson, str]:
    """An adult of the library who was welcomed, and the token of the mailed link."""
    person = adult()
    async with settings(stack, WELCOME_SOON, "worker"):
        await save(api.registrar, person)
        return person, link_token(await mails.wait_for(person, "welcome"))


def born_on(person: DemoPerson) -> date:
    code = hetu.parse(person.personal_identity_code, today=helsinki_day(now()), allow_artificial=True)
    return code.birth_date


async def test_a_customer_corrects_the_contact_data_and_sees_who_has_looked(
    api: Api, web: str, mails: MailCounter, welcomed: tuple[DemoPerson, str]
) -> None:
    person, token = welcomed
    born = born_on(person)
    async with Visitor(web) as customer:
        opened = await customer.get(f"/customership/{token}")
        [own] = [link for link in opened.links if link.endswith("/own")]
        asked = await customer.get(own)
        assert person.form.last_name not in asked.text
        wrong = await customer.send(asked.form, {"birth_date": "1.1.1980"})
        assert wrong.status == 422
        assert "The date of birth does not match" in wrong.text
        assert person.form.address.street_address not in wrong.html
        data = await customer.send(asked.form, {"birth_date": f"{born.day}.{born.month}.{born.year}"})
        assert data.form.fields["address.street_address"] == person.form.address.street_address
        refused_ = await customer.send(data.form, {"phone": "no number"})
        assert refused_.status == 422
        assert "phone" in refused_.ids
        new_email = f"uusi.{person.email}"
        saved = await customer.send(refused_.form, {"phone": "040 765 4321"})
        assert "is saved" in saved.text
        data = await customer.send(saved.forms[-1])
        uses = await customer.send(data.form_to(data.form.action.replace("save", "uses")))
        assert "Registrar" in uses.text
        assert "Riitta" not in uses.text
        data = await customer.send(uses.forms[-1])
        saved = await customer.send(data.form, {"email": new_email})
        assert "is saved" in saved.text
    stored: Customer = await customer_of(api.registrar, person)
    assert (stored.form.phone, stored.form.email) == ("+358407654321", new_email)
    await mails.wait_for(replace(person, email=new_email), "email_confirmation")


async def test_a_link_of_a_customership_that_has_ended_promises_no_newer_one(
    api: Api, web: str, welcomed: tuple[DemoPerson, str]
) -> None:
    person, token = welcomed
    customer: Customer = await customer_of(api.registrar, person)
    await end(api.registrar, customer.name)
    async with Visitor(web) as visitor:
        page = await visitor.get(f"/customership/{token}")
    assert page.status == 410
    assert "what it was about has ended or changed" in page.text
    assert "Otherwise ask customer service" in page.text


async def test_the_date_of_birth_cannot_be_guessed(api: Api, welcomed: tuple[DemoPerson, str]) -> None:
    person, token = welcomed
    born = born_on(person)
    links, anybody = api.anybody.customership_links, api.anybody

    async def ask(day: date) -> str:
        request = GetOwnContactDataRequest(token=token, birth_date=to_proto_date(day))
        return await refused(anybody.call(links.GetOwnContactData, request))

    for year in range(1901, 1906):
        assert await ask(date(year, 1, 2)) == "BIRTH_DATE_DIFFERS"
    for day in (date(1906, 1, 2), born):
        assert await ask(day) == "TOO_MANY_ATTEMPTS"
