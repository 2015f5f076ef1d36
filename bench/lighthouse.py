"""`make lighthouse`: what Lighthouse says of the five main pages, on a stack of its own.

Run by hand, as it needs Node.js.
Lighthouse is fetched from npm, pinned. Its performance is that of a slow telephone, as it simulates one.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from bench import report
from bench.pages import browser
from deploy.demo.forms import pupil
from deploy.local.mailbox.client import MailboxClient
from deploy.local.ports import HOST, Ports
from deploy.local.seed import DemoAccount, seed
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.registration_service_pb2 import RegisterCustomerRequest

_LIGHTHOUSE = "lighthouse@12.8.2"
"""The newest that runs on Node.js 20."""
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
_CATEGORIES = ("accessibility", "performance", "best-practices")


async def _measure() -> None:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="liity-lighthouse-") as folder:
        stack = Stack(Path(folder), Ports.free())
        await stack.start()
        try:
            accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
            table = Table("page", *_CATEGORIES, title=_LIGHTHOUSE)
            report.machine(console)
            for name, (address, cookies) in (await _pages(stack, accounts["teacher"])).items():
                scores = await asyncio.to_thread(_scores, Path(folder), address, cookies)
                table.add_row(name, *(str(scores[category]) for category in _CATEGORIES))
            console.print(table)
        finally:
            await stack.stop()


async def _pages(stack: Stack, account: DemoAccount) -> dict[str, tuple[str, Mapping[str, str]]]:
    """The address of each page, and the cookies it needs."""
    base = f"http://{HOST}:{stack.ports.web}"
    child = pupil(datetime.now(UTC).date(), Random(0))  # noqa: S311 - people are made up, not secrets
    async with ApiClient(f"{HOST}:{stack.ports.gateway}") as api:
        await api.log_in(account.email, account.password)
        save = RegisterCustomerRequest(
            parent=api.unit,
            request_id=new_request_id(),
            personal_identity_code=child.personal_identity_code,
            form=child.form,
        )
        await api.call(api.registrations.RegisterCustomer, save)
    mail = await MailboxClient(f"{HOST}:{stack.ports.mailbox}").wait_for(child.email)
    link = re.search(r"/consent/\S+", mail.text)
    assert link, mail.text
    async with browser(base, account) as opened:
        session = dict(opened.cookies)
        asked = await opened.get(link[0], follow_redirects=True)
        return {
            "log in": (f"{base}/log-in", {}),
            "consent": (str(asked.url), dict(opened.cookies)),
            "home": (f"{base}/home", session),
            "register": (f"{base}/register", session),
            "registrations": (f"{base}/registrations", session),
        }


def _scores(folder: Path, address: str, cookies: Mapping[str, str]) -> dict[str, int]:
    """Lighthouse's scores of a page, out of 100, by category."""
    headers, answer = folder / "headers.json", folder / "lighthouse.json"
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers.write_text(json.dumps({"Cookie": cookie} if cookie else {}), "utf-8")
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), "")
    subprocess.run(  # noqa: S603
        [
            *("npx", "--yes", _LIGHTHOUSE, address, "--quiet", "--output=json", f"--output-path={answer}"),
            *(f"--chrome-flags={_FLAGS}", f"--extra-headers={headers}"),
            f"--only-categories={','.join(_CATEGORIES)}",
        ],
        check=True,
        env=os.environ | {"CHROME_PATH": chromium},
    )
    found = json.loads(answer.read_text("utf-8"))
    # An address that leads elsewhere would be judged for another page.
    assert found["finalDisplayedUrl"] == address, found["finalDisplayedUrl"]
    return {category: round(found["categories"][category]["score"] * 100) for category in _CATEGORIES}


if __name__ == "__main__":
    asyncio.run(_measure())
