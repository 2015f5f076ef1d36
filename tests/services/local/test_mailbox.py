"""The local stack's mailbox: takes mail over SMTP, keeps it, and shows it."""

import zlib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx2
import pytest

from deploy.local.mailbox.server import MailboxSettings, serving_mailbox
from services.runtime.settings import SettingsError
from tests.support.http_client import http_client
from tests.support.ports import free_port


@pytest.fixture
def settings(tmp_path: Path) -> MailboxSettings:
    return MailboxSettings(
        keys_dir=tmp_path,
        mailbox_smtp_listen=f"127.0.0.1:{free_port()}",
        mailbox_http_listen=f"127.0.0.1:{free_port()}",
        mailbox_dir=tmp_path / "mail",
    )


@pytest.fixture
async def browser(settings: MailboxSettings) -> AsyncIterator[httpx2.AsyncClient]:
    async with http_client(f"http://{settings.mailbox_http_listen}") as browser:
        yield browser


async def send(
    settings: MailboxSettings, to: str, subject: str, text: str = "Hei!", html: str = "<p>Hei!</p>"
) -> None:
    message = EmailMessage()
    message["From"] = "no-reply@liity.example"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{zlib.crc32(subject.encode())}@liity.example>"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    host, _, port = settings.mailbox_smtp_listen.rpartition(":")
    await aiosmtplib.send(message, recipients=[to], hostname=host, port=int(port), local_hostname="localhost")


async def messages(browser: httpx2.AsyncClient, to: str = "") -> list[dict[str, object]]:
    response = await browser.get("/api/messages", params={"to": to})
    assert response.status_code == 200
    found: list[dict[str, object]] = response.json()["messages"]
    return found


async def page(browser: httpx2.AsyncClient, path: str, status: int = 200) -> str:
    response = await browser.get(path)
    assert response.status_code == status
    assert response.headers["Content-Security-Policy"].startswith(("default-src 'none'", "sandbox"))
    return response.text


async def test_mail_is_listed_newest_first_and_by_recipient(
    settings: MailboxSettings, browser: httpx2.AsyncClient
) -> None:
    async with serving_mailbox(settings):
        assert await messages(browser) == []
        await send(settings, "aino@example.org", "Ensimmäinen")
        await send(settings, "eino@example.org", "Toinen", "Hyvää päivää\n")
        await send(settings, "aino@example.org", "Kolmas")
        everything = await messages(browser)
        assert [mail["subject"] for mail in everything] == ["Kolmas", "Toinen", "Ensimmäinen"]
        assert [mail["subject"] for mail in await messages(browser, "aino@example.org")] == [
            "Kolmas",
            "Ensimmäinen",
        ]
        [second] = await messages(browser, "eino@example.org")
        assert second["to"] == ["eino@example.org"]
        assert str(second["text"]).strip() == "Hyvää päivää"
        assert second["message_id"] == f"<{zlib.crc32(b'Toinen')}@liity.example>"
        listed = await page(browser, "/")
        assert listed.index("Kolmas") < listed.index("Toinen") < listed.index("Ensimmäinen")


async def test_mail_survives_a_restart(settings: MailboxSettings, browser: httpx2.AsyncClient) -> None:
    async with serving_mailbox(settings):
        await send(settings, "aino@example.org", "Pysyy")
        before = await messages(browser)
    async with serving_mailbox(settings):
        assert await messages(browser) == before
    assert [path.suffix for path in settings.mailbox_dir.iterdir()] == [".eml"]


async def test_a_mail_is_shown_without_running_any_of_it(
    settings: MailboxSettings, browser: httpx2.AsyncClient
) -> None:
    async with serving_mailbox(settings):
        await send(
            settings,
            "aino@example.org",
            "<script>alert(1)</script>",
            "<script>alert(2)</script> https://liity.example/consent/token",
            "<html><head><title>x</title></head><body><script>alert(3)</script></body></html>",
        )
        [mail] = await messages(browser)
        path = f"/messages/{mail['id']}"
        for shown in (await page(browser, "/"), await page(browser, path)):
            assert "<script" not in shown
            assert "&lt;script&gt;alert(1)" in shown
        shown = await page(browser, path)
        assert 'href="https://liity.example/consent/token"' in shown
        assert "Message-ID" in shown
        assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in shown
        response = await browser.get(path + "/html")
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox ")
        assert "allow-scripts" not in policy
        assert "script-src" not in policy
        assert '<base target="_blank">' in response.text


async def test_mail_to_an_address_beyond_ascii_is_kept(
    settings: MailboxSettings, browser: httpx2.AsyncClient
) -> None:
    async with serving_mailbox(settings):
        await send(settings, "äiti@example.org", "Äidille")
        [mail] = await messages(browser, "äiti@example.org")
        assert mail["subject"] == "Äidille"


async def test_older_mail_is_a_page_away(settings: MailboxSettings, browser: httpx2.AsyncClient) -> None:
    async with serving_mailbox(settings) as maildir:
        for number in range(101):
            maildir.add(["aino@example.org"], f"Subject: Kirje {number:03}\r\n\r\nHei\r\n".encode())
        newest = await page(browser, "/")
        assert "Kirje 001" in newest
        assert "Kirje 000" not in newest
        older = await page(browser, f"/?before={maildir.ids()[99]}")
        assert "Kirje 000" in older
        assert "Kirje 001" not in older


@pytest.mark.parametrize("path", ["/messages/1", "/messages/..%2F..%2Fsecret", "/messages/x/html"])
async def test_what_is_no_mail_is_not_found(
    settings: MailboxSettings, browser: httpx2.AsyncClient, path: str
) -> None:
    (settings.mailbox_dir.parent / "secret.eml").write_text("Subject: secret\n\nsecret\n")
    async with serving_mailbox(settings):
        assert "No such mail" in await page(browser, path, 404)


async def test_it_is_healthy(settings: MailboxSettings, browser: httpx2.AsyncClient) -> None:
    async with serving_mailbox(settings):
        response = await browser.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok")


@pytest.mark.parametrize("port", ["mailbox_smtp_listen", "mailbox_http_listen"])
async def test_a_taken_port_is_one_clear_line(settings: MailboxSettings, port: str) -> None:
    async with serving_mailbox(settings):
        other = {
            "mailbox_smtp_listen": f"127.0.0.1:{free_port()}",
            "mailbox_http_listen": f"127.0.0.1:{free_port()}",
        }
        clash = settings.model_copy(update={**other, port: getattr(settings, port)})
        with pytest.raises(SettingsError, match=f"Cannot listen on {getattr(settings, port)}"):
            async with serving_mailbox(clash):
                pass
