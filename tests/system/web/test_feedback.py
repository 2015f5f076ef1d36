"""Feedback on accessibility, by the pages alone: sent without an account, answered by customer service."""

import re

from deploy.local.mailbox.client import MailboxClient
from frontends.client import new_request_id
from tests.support.web_visitor import Visitor


async def test_feedback_is_answered_by_mail(web: str, staff: Visitor, mailbox: MailboxClient) -> None:
    async with Visitor(web, keeps_cookies=False) as stranger:
        await _is_answered_by_mail(stranger, staff, mailbox)


async def _is_answered_by_mail(stranger: Visitor, staff: Visitor, mailbox: MailboxClient) -> None:
    address, words = f"{new_request_id()}@koti.example", f"No headings {new_request_id()}"
    assert "/feedback" in (await stranger.get("/accessibility")).links
    page = await stranger.get("/feedback")
    empty = await stranger.send(page.form, {"sender_email": "no address"})
    assert (empty.status, empty.title[:6]) == (422, "Error:")
    wrong = await stranger.send(empty.form, {"text": words})
    assert (wrong.status, wrong.form.fields["text"]) == (422, words)
    typed = {"sender_email": address}
    sent = await stranger.send(wrong.form, typed)
    # A double click is one feedback.
    assert (await stranger.send(wrong.form, typed)).text == sent.text
    found = re.search(r"P-\w{4}-\w{4}", sent.text)
    assert found is not None
    name = f"feedback/{found[0].replace('-', '').lower()}"
    await mailbox.wait_for(address, wanted=lambda mail: found[0] in mail.text)
    item = await staff.get(f"/work/55-{name.partition('/')[2]}")
    assert words in item.text
    assert f"/{name}/answer" in item.links
    asked = await staff.send((await staff.get("/work/find")).form, {"reference": found[0].lower()})
    assert asked.path == f"/{name}/answer"
    assert (await staff.send(asked.form)).status == 422
    checked = await staff.send(asked.form, {"answer": "We added them.\nThank you."})
    assert address in checked.text
    send = ("act", "send")
    answered = await staff.send(checked.form, button=send)
    assert answered.path == f"/{name}/answered"
    mail = await mailbox.wait_for(address, wanted=lambda mail: "We added them." in mail.text)
    assert words not in mail.text
    late = await staff.send(checked.form, {"request_id": new_request_id()}, send)
    assert (late.status, "answered already" in late.text) == (422, True)
