"""Customer service edits the book tips; registrars read them (R28)."""

import json
import subprocess
from pathlib import Path

from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.book_tips_service_pb2 import BookTip, BookTips, GetBookTipsRequest, UpdateBookTipsRequest
from tests.system.conftest import Api, Liity
from tests.system.customers.test_transfer import refused


async def test_registrars_read_and_customer_service_edits(stack: Stack, api: Api) -> None:
    request = GetBookTipsRequest(name="bookTips/sv")
    stands = (await api.registrar.call(api.registrar.book_tips.GetBookTips, request)).book_tips
    assert stands.tips
    given = BookTips(name=stands.name, etag=stands.etag, tips=[BookTip(title="Sommarboken")])
    update = UpdateBookTipsRequest(request_id=new_request_id(), book_tips=given)
    for client in (api.registrar, api.teacher, api.operator):
        call = client.call(client.book_tips.UpdateBookTips, update)
        assert await refused(call) == "PERMISSION_DENIED PERMISSION_DENIED"
    edited = (await api.staff.call(api.staff.book_tips.UpdateBookTips, update)).book_tips
    assert (await api.teacher.call(api.teacher.book_tips.GetBookTips, request)).book_tips == edited
    late = UpdateBookTipsRequest(request_id=new_request_id(), book_tips=given)
    assert (
        await refused(api.staff.call(api.staff.book_tips.UpdateBookTips, late)) == "ABORTED CHANGED_MEANWHILE"
    )


async def test_the_command_shows_and_edits(remote_liity: Liity, tmp_path: Path) -> None:
    def liity(*arguments: str) -> subprocess.CompletedProcess[str]:
        return remote_liity("staff", "book-tips", *arguments)

    shown = liity("show", "en")
    tips = json.loads(shown.stdout)
    tips["tips"].append({"title": "The Summer Book", "author": "Tove Jansson"})
    file = tmp_path / "tips.json"
    file.write_text(json.dumps(tips))
    assert "The Summer Book" in liity("edit", str(file)).stdout
    assert liity("edit", str(file)).returncode == 1
    file.write_text('{"tip": 1}')
    wrong = liity("edit", str(file))
    assert wrong.returncode == 2
    assert "book tips" in wrong.stderr
