"""Every mail in a real browser: axe, and no scrolling sideways on a telephone."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from liity.notification.v1.notification_service_pb2 import SendMessageRequest
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV, Language
from services.notification.mail.rendering import render
from services.runtime.settings import RuntimeSettings
from tests.support.mail_contents import CONTENTS, TIPS
from tests.system.browser.accessibility import faults, overflow

JUDGED = {
    "landmark-one-main": "the mail program's page, in which it shows the mail, has the landmarks",
    "region": "the same",
    "css-orientation-lock": "a mail has no style sheet that could lock anything",
}
"""Rules whose findings are judged, and why they may stand."""


@pytest.mark.parametrize("language", [LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_EN], ids=Language.Name)
async def test_every_mail_is_without_fault(chromium: Browser, language: Language.ValueType) -> None:
    settings = RuntimeSettings(keys_dir=Path("unused"), web_url="https://liity.example/")
    wrong: dict[str, list[str]] = {}
    async with await chromium.new_context(viewport={"width": 320, "height": 640}) as context:
        page = await context.new_page()
        for content in CONTENTS:
            mail = render(SendMessageRequest(language=language, **content), settings, TIPS)
            await page.set_content(mail.html)
            if found := await faults(page, *JUDGED) + await overflow(page):
                wrong[mail.subject] = found
    assert wrong == {}
