"""The management port: alive while the process runs, ready while it serves."""

import asyncio

import httpx2
import pytest

from services.runtime.components import run_components, stop_requested
from services.runtime.management import managing
from services.runtime.settings import SettingsError
from tests.conftest import free_port
from tests.support.http_client import http_client


async def test_it_says_when_a_process_is_ready_and_when_it_no_longer_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("LIITY_MANAGEMENT_LISTEN", listen)
    may_start, may_end, ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await may_start.wait()
        await stop_requested()
        await may_end.wait()

    async def short() -> None:
        started = asyncio.create_task(stop_requested())
        await ends.wait()
        started.cancel()

    async def get(path: str) -> tuple[int, str]:
        try:
            async with http_client(f"http://{listen}") as browser:
                answer = await browser.get(path)
        except httpx2.ConnectError:
            return 0, ""
        return answer.status_code, answer.text

    async def until(status: int, text: str) -> None:
        async with asyncio.timeout(30):
            while await get("/readyz") != (status, text):
                await asyncio.sleep(0.01)

    running = asyncio.create_task(
        run_components({"gateway": slow, "worker": short}, (("gateway", "worker"),), managing)
    )
    await until(503, "gateway")
    assert await get("/livez") == (200, "ok")
    may_start.set()
    await until(200, "ok")

    status, text = await get("/metrics")
    assert status == 200
    assert '\nliity_component_ready{component="gateway"} 1.0\n' in text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names >= {"liity_build_info", "liity_event_loop_delay_seconds", "process_cpu_seconds_total"}

    # It stops, and sees its last calls through.
    ends.set()
    await until(503, "gateway, worker")
    assert await get("/livez") == (200, "ok")
    with pytest.raises(SettingsError, match=f"Cannot listen on {listen}"):
        async with managing({}):
            pass
    may_end.set()
    await running
    assert await get("/livez") == (0, "")
