"""`liity up` as a person uses it: a program in a terminal."""

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from deploy.demo.forms import DemoPerson, pupil
from deploy.demo.polling import eventually
from deploy.local.mailbox.client import MailboxClient
from deploy.local.ports import HOST, Ports
from deploy.local.seed import read_accounts
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.consent_service_pb2 import AcceptConsentRequest
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT, Registration
from liity.v1.registration_service_pb2 import GetRegistrationRequest, RegisterCustomerRequest
from services.runtime.clock import helsinki_day
from tests.conftest import copy_postgres
from tests.support.ports import free_ports

COMPONENTS = 9


class Up:
    """A `liity up` in a session of its own."""

    def __init__(self, folder: Path, ports: Ports, *options: str, in_background: bool = False) -> None:
        self.folder = folder
        self.ports = ports
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LIITY_")}
        # A shell without job control has what ends in `&` ignore interrupts.
        ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh") if in_background else ()
        self.process = subprocess.Popen(
            [
                *ignoring,
                *(sys.executable, "-m", "deploy", "up", "--state-dir", str(folder)),
                *("--port-base", str(ports.gateway), *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.output = ""
        self.family: set[psutil.Process] = set()

    async def says(self, words: str) -> None:
        """Waits until the output holds these words, and remembers every process there is then."""
        assert self.process.stdout
        while words not in self.output:
            line = await asyncio.to_thread(self.process.stdout.readline)
            assert line, f"it ended without saying “{words}”:\n{self.output}"
            self.output += line
        self.family |= set(psutil.Process(self.process.pid).children(recursive=True))

    @property
    def ca(self) -> Path | None:
        """The CA that it has told; None without TLS."""
        words = (word.rstrip(",") for word in self.output.split())
        return next((Path(word) for word in words if word.endswith("ca.crt")), None)

    async def ends(self) -> int:
        """Waits until it has ended, and gives the exit code."""
        rest, _ = await asyncio.to_thread(self.process.communicate, timeout=60)
        self.output += rest
        return self.process.returncode

    async def left_behind(self, seconds: float = 0) -> list[psutil.Process]:
        """The processes that still run, after at most so many seconds."""
        _, alive = await asyncio.to_thread(psutil.wait_procs, self.family, timeout=seconds)
        return [process for process in alive if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    # One that has ended may stay listed where process 1 does not care for orphans.
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
async def up(tmp_path: Path, postgres_template: Path) -> AsyncIterator[Callable[..., Up]]:
    started: list[Up] = []
    ports = free_ports()

    def start(*options: str, in_background: bool = False, from_nothing: bool = False) -> Up:
        if not started and not from_nothing:
            copy_postgres(postgres_template, tmp_path / "state" / "postgres")
        started.append(Up(tmp_path / "state", ports, *options, in_background=in_background))
        return started[-1]

    yield start
    for program in started:
        program.process.kill()
        program.process.communicate()
        assert not await program.left_behind(20)


async def test_it_shows_the_main_job_stays_up_and_leaves_nothing_behind(up: Callable[..., Up]) -> None:
    program = up(from_nothing=True)
    await program.says("Ctrl-C stops everything")

    assert re.search(r"All \d+ steps went as they should", program.output)
    assert "WELCOMED" in program.output
    assert f"TEMPORAL_ADDRESS={HOST}:{program.ports.temporal}" in program.output
    for account in read_accounts(program.folder).values():
        assert account.password in program.output
    assert len(program.family) >= COMPONENTS

    second = up("--no-demo")
    assert await second.ends() == 2
    assert second.output.partition("\n")[2] == (
        f"A stack is running already in {program.folder} (process {program.process.pid}). Stop it, or choose"
        " another folder: liity up --state-dir FOLDER\n"
    )

    # A component that dies is started again.
    gateway = next(process for process in program.family if process.cmdline()[-1:] == ["gateway"])
    gateway.kill()
    await program.says("! gateway was ended by SIGKILL")
    async with ApiClient(f"{HOST}:{program.ports.gateway}") as client:
        await eventually(lambda: _can_log_in(client, program), bool, 120)

    program.process.send_signal(signal.SIGINT)
    assert await program.ends() == 0
    assert not await program.left_behind()


async def test_over_tls_killed_it_leaves_nothing_and_the_next_start_goes_on(up: Callable[..., Up]) -> None:
    program = up("--tls", "--no-demo")
    await program.says("Ctrl-C stops everything")
    child = pupil(helsinki_day(datetime.now(UTC)), random.Random())  # noqa: S311
    saved = await _save(program, child)
    mailbox = MailboxClient(f"{HOST}:{program.ports.mailbox}")
    asked = await mailbox.wait_for(child.email)

    program.process.kill()
    assert not await program.left_behind(120)

    program = up("--tls", "--no-demo")
    await program.says("Ctrl-C stops everything")
    waiting = await _get(program, saved.name)
    assert waiting.stage == STAGE_WAITING_FOR_CONSENT
    assert waiting.deadline == saved.deadline

    async with ApiClient(f"{HOST}:{program.ports.gateway}", ca=program.ca) as guardian:
        await guardian.call(
            guardian.consents.AcceptConsent,
            AcceptConsentRequest(
                token=asked.link_token,
                request_id=new_request_id(),
                guardian_name=child.form.related_person.full_name,
                wording_version="2026-1",
                language=LANGUAGE_FI,
            ),
        )
    await eventually(
        lambda: _get(program, saved.name), lambda found: found.stage == STAGE_CREDENTIALS_SENT, 120
    )
    # A mail that was taken as the sender died may come once more, under the same ID.
    assert len({mail.message_id for mail in await mailbox.mails(child.email)}) == 3

    program.process.terminate()
    assert await program.ends() == 0
    assert not await program.left_behind()


async def test_stopped_while_starting_it_leaves_nothing(up: Callable[..., Up]) -> None:
    program = up("--no-demo")
    await program.says("✓ postgres")

    program.process.terminate()

    assert await program.ends() == 0
    assert not await program.left_behind()


async def test_in_the_background_it_takes_an_interrupt_too(up: Callable[..., Up]) -> None:
    program = up("--no-demo", in_background=True)
    await program.says("✓ postgres")

    program.process.send_signal(signal.SIGINT)

    assert await program.ends() == 0
    assert not await program.left_behind()


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        program = Up(tmp_path / "state", Ports.from_base(taken), "--no-demo")

        assert await program.ends() == 2

    assert program.output.partition("\n")[2] == (
        f"Port {taken}, for gateway, is taken by {psutil.Process().name()} (process {os.getpid()}). Stop what"
        " runs there, or choose other ports in a row: liity up --port-base 17400\n"
    )
    assert not (tmp_path / "state" / "postgres").exists()


async def _log_in_the_teacher(client: ApiClient, program: Up) -> None:
    account = read_accounts(program.folder)["teacher"]
    await client.log_in(account.email, account.password)


async def _can_log_in(client: ApiClient, program: Up) -> bool:
    try:
        await _log_in_the_teacher(client, program)
    except Refusal:
        return False
    return True


async def _save(program: Up, person: DemoPerson) -> Registration:
    async with ApiClient(f"{HOST}:{program.ports.gateway}", ca=program.ca) as client:
        await _log_in_the_teacher(client, program)
        answer = await client.call(
            client.registrations.RegisterCustomer,
            RegisterCustomerRequest(
                parent=client.unit,
                request_id=new_request_id(),
                personal_identity_code=person.personal_identity_code,
                form=person.form,
            ),
        )
        return answer.registration


async def _get(program: Up, name: str) -> Registration:
    async with ApiClient(f"{HOST}:{program.ports.gateway}", ca=program.ca) as client:
        await _log_in_the_teacher(client, program)
        answer = await client.call(client.registrations.GetRegistration, GetRegistrationRequest(name=name))
        return answer.registration
