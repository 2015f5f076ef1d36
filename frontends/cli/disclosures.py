"""`liity disclosures`: export of a person's data, for access requests. For customer service."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from frontends.cli.console import FAILED
from frontends.cli.session import call, group
from frontends.client import ApiClient, new_request_id
from liity.v1.disclosure_service_pb2 import (
    DISCLOSURE_STATE_FAILED,
    DISCLOSURE_STATE_READY,
    CreateDisclosureRequest,
    Disclosure,
    GetDisclosureRequest,
)

app = group()

_PATIENCE = 60.0
"""Seconds to wait for an export that is not ready."""

_PAUSE = 0.5
"""Seconds between two reads of an export that is not ready."""


@app.command()
def create(
    context: typer.Context,
    registration: Annotated[str, typer.Option(help="units/UNIT/registrations/ID of the person.")] = "",
    hetu_stdin: Annotated[
        bool, typer.Option("--hetu-stdin", help="Read the personal identity code from standard input.")
    ] = False,
) -> None:
    """Starts an export of all data of a person; prints its name."""
    if bool(registration) == hetu_stdin:
        raise typer.BadParameter("say whose data: either --registration or --hetu-stdin")
    request = CreateDisclosureRequest(request_id=new_request_id())
    if registration:
        request.registration = registration
    else:
        # On the command line the code would be in the shell's history and the list of processes.
        request.personal_identity_code = sys.stdin.readline().strip()

    async def begin(api: ApiClient) -> Disclosure:
        return (await api.call(api.disclosures.CreateDisclosure, request)).disclosure

    typer.echo(call(context.obj, begin).name)


@app.command()
def save(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="disclosures/ID, as `create` has printed it.")],
    json: Annotated[Path | None, typer.Option(help="File to write for a machine.")] = None,
    html: Annotated[Path | None, typer.Option(help="File to write for a person.")] = None,
) -> None:
    """Writes an export to files readable only by you. Waits until it is ready."""
    if json is None and html is None:
        raise typer.BadParameter("say where to: --json FILE, --html FILE, or both")

    async def read(api: ApiClient) -> Disclosure:
        request = GetDisclosureRequest(name=name)
        async with asyncio.timeout(_PATIENCE):
            while True:
                found = (await api.call(api.disclosures.GetDisclosure, request)).disclosure
                if found.state in {DISCLOSURE_STATE_READY, DISCLOSURE_STATE_FAILED}:
                    return found
                await asyncio.sleep(_PAUSE)

    try:
        disclosure = call(context.obj, read)
    except TimeoutError:
        typer.echo("It is still being gathered: a service may be away. Try again later.", err=True)
        raise typer.Exit(FAILED) from None
    if disclosure.state == DISCLOSURE_STATE_FAILED:
        typer.echo(
            "It could not be gathered, and nothing will come: a service has refused its part, for instance "
            "because the person was erased meanwhile. Start another one; if it fails too, tell an operator.",
            err=True,
        )
        raise typer.Exit(FAILED)
    for path, content in ((json, disclosure.json), (html, disclosure.html)):
        if path is not None:
            _write_private(path, content)
            typer.echo(f"{path}")


def _write_private(path: Path, content: bytes) -> None:
    """Writes a file readable only by its owner, atomically."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from None
