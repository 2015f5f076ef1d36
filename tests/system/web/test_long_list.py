"""A list of a thousand rows: filtered, paged, left and come back to (S14)."""

import re
from urllib.parse import urlsplit

from deploy.local.stack import Stack
from liity.identity.v1.account_service_pb2 import AccountMembership
from liity.v1.auth_service_pb2 import ROLE_REGISTRAR
from liity.v1.registration_pb2 import STAGE_WELCOMED
from tests.support.web_visitor import Seen, Visitor
from tests.system.conftest import Api
from tests.system.support.accounts import new_account
from tests.system.support.registering import adult, database, save
from tests.system.units.test_units import create

ROWS, PAGE = 1000, 50
_CLONES = """
    INSERT INTO registrations
    SELECT (jsonb_populate_record(one, jsonb_build_object(
        'registration_id', md5(one.registration_id || n), 'request_id', gen_random_uuid(),
        'person_id', NULL, 'customer_id', NULL,
        'unit_id', $2::text, 'stage', $3::int, 'created_at', one.created_at - n * interval '1 minute'
    ))).*
    FROM registrations one, generate_series(1, $4::int) n WHERE one.registration_id = $1
"""


async def test_a_thousand_rows_are_filtered_paged_and_come_back_to(
    stack: Stack, api: Api, stranger: Visitor
) -> None:
    unit = (await create(api)).name
    membership = AccountMembership(unit_id=unit.rpartition("/")[2], role=ROLE_REGISTRAR)
    account = await new_account(stack, memberships=[membership])
    one = (await save(api.registrar, adult())).name.rpartition("/")[2]
    async with database(stack, "registration") as connection:
        await connection.execute(_CLONES, one, membership.unit_id, STAGE_WELCOMED, ROWS)
        try:
            await stranger.log_in(account.email, account.password)
            await _is_usable(stranger)
        finally:
            await connection.execute("DELETE FROM registrations WHERE unit_id = $1", membership.unit_id)


async def _is_usable(visitor: Visitor) -> None:
    assert "There are none" in (await visitor.get("/registrations?stage=STAGE_DECLINED")).text
    pages = [await visitor.get("/registrations?stage=STAGE_WELCOMED&order=")]
    while (following := linked(pages[-1], "Next page")) and len(pages) <= ROWS // PAGE:
        pages.append(await visitor.get(following))
    names = [link for page in pages for link in rows(page)]
    assert [len(rows(page)) for page in pages] == [PAGE] * (ROWS // PAGE)
    assert len(set(names)) == ROWS
    assert max(len(page.html) for page in pages) < 50_000
    third = pages[2]
    # The address of a page is the page: what was opened is left by the browser's own way back.
    assert (await visitor.get(names[0])).path == names[0]
    back = await visitor.get(address(third))
    assert rows(back) == rows(third)
    swedish = await visitor.get(next(link for link in third.links if link.startswith("/language/sv")))
    assert (rows(swedish), 'lang="sv"' in swedish.html) == (rows(third), True)
    await visitor.get("/language/en")
    first = await visitor.get(linked(third, "Back to the first page"))
    assert rows(first) == rows(pages[0])
    assert re.search(r'value="STAGE_WELCOMED" selected', first.html)


def rows(page: Seen) -> list[str]:
    """The addresses of a page's rows."""
    return [link for link in page.links if "/registrations/" in link]


def linked(page: Seen, text: str) -> str:
    """Where a link leads; nothing if there is none."""
    found = re.search(rf'<a href="([^"]+)">{text}</a>', page.html)
    return found[1].replace("&amp;", "&") if found else ""


def address(page: Seen) -> str:
    return urlsplit(page.url)._replace(scheme="", netloc="").geturl()
