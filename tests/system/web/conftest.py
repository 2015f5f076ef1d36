"""Visitors of the pages of the stack."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from tests.support.web_visitor import Visitor


@pytest.fixture(scope="session")
def web(stack: Stack) -> str:
    """The address of the pages."""
    return f"http://{HOST}:{stack.ports.web}"


@pytest.fixture
async def stranger(web: str) -> AsyncIterator[Visitor]:
    """Somebody who has not logged in."""
    async with Visitor(web) as visitor:
        yield visitor


@pytest.fixture
async def teacher(web: str, accounts: dict[str, DemoAccount]) -> AsyncIterator[Visitor]:
    """The teacher, logged in."""
    async with Visitor(web) as visitor:
        page = await visitor.log_in(accounts["teacher"].email, accounts["teacher"].password)
        assert page.path == "/home", page.text
        yield visitor


@pytest.fixture
async def registrar(web: str, accounts: dict[str, DemoAccount]) -> AsyncIterator[Visitor]:
    """The library's registrar, logged in."""
    async with Visitor(web) as visitor:
        page = await visitor.log_in(accounts["registrar"].email, accounts["registrar"].password)
        assert page.path == "/home", page.text
        yield visitor


@pytest.fixture
async def staff(web: str, accounts: dict[str, DemoAccount]) -> AsyncIterator[Visitor]:
    """Customer service, logged in."""
    async with Visitor(web) as visitor:
        page = await visitor.log_in(accounts["staff"].email, accounts["staff"].password)
        assert page.path == "/home", page.text
        yield visitor
