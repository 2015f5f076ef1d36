"""`liity keys`: creates key files and rotates their keys."""

import asyncio
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from deploy.admin import key_files
from deploy.admin.key_files import Key, KeyRing
from deploy.admin.key_usage import KeyNeeded, give_up, identity_engine, loss, needs, release, shown
from deploy.ending import ending_clearly
from deploy.local.wiring import wiring_in
from frontends.cli.console import FAILED, console
from services.identity.persons.key_rotation import Reencryption, ReencryptionError
from services.identity.persons.vault import HetuVault
from services.runtime.settings import SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False)

_PURPOSES = ("payloads", "hetu", "hetu-index", "links", "web", "token-signing")

_HOLDERS = {
    "payloads": "every gateway, worker and codec server",
    "hetu": "every identity",
    "hetu-index": "every identity",
    "links": "every identity",
    "web": "every server of the pages",
    "token-signing": "every identity",
}
"""Components that have the file of a purpose."""

_INTERRUPTED = 130


def _purpose(value: str) -> str:
    if value not in _PURPOSES:
        raise typer.BadParameter(f"one of {', '.join(_PURPOSES)}")
    return value


def _duration(value: str) -> timedelta:
    try:
        return TypeAdapter(timedelta).validate_python(value)
    except ValidationError:
        raise typer.BadParameter("a duration such as PT1H") from None


KeysDir = Annotated[Path | None, typer.Option(envvar="LIITY_KEYS_DIR", help="Folder of the key files.")]
StateDir = Annotated[
    Path | None, typer.Option(help="Folder of the local stack, whose keys and databases they are then.")
]
Purpose = Annotated[str, typer.Argument(callback=_purpose, help=f"One of {', '.join(_PURPOSES)}.")]
KeyId = Annotated[str, typer.Argument(help="As `liity keys show` gives it.")]
Margin = Annotated[
    timedelta,
    typer.Option(parser=_duration, help="How long after the promotion it took to restart all who write."),
]


@app.command()
def create(keys_dir: KeysDir = None, state_dir: StateDir = None) -> None:
    """Creates every missing key file. Existing keys stay as they are.

    With LIITY_KMS_KEY_URI, plain files are encrypted by the KMS.
    """
    with ending_clearly():
        key_files.create_keys(_folder(keys_dir, state_dir))


@app.command()
def show(keys_dir: KeysDir = None, state_dir: StateDir = None, margin: Margin = "PT1H") -> None:  # type: ignore[assignment]  # parsed
    """Shows the keys of each purpose, and what still needs each key."""
    with ending_clearly():
        folder = _folder(keys_dir, state_dir)
        table = Table("Purpose", "Key", "State", "Made", "Promoted", "Needed by")
        for purpose in _PURPOSES:
            for key in KeyRing(folder, purpose).read():
                found = asyncio.run(_needed_by(purpose, key, margin))
                table.add_row(purpose, key.key_id, _state(key), _shown(key.made), _shown(key.promoted), found)
            table.add_section()
        table.columns[1].overflow = "fold"
        console().print(table)


@app.command()
def rotate(purpose: Purpose, keys_dir: KeysDir = None, state_dir: StateDir = None) -> None:
    """Adds a new key, which can read but does not write yet."""
    with ending_clearly():
        key_id = KeyRing(_folder(keys_dir, state_dir), purpose).rotate()
    typer.echo(f"Key {key_id} of {purpose} is made. Nobody writes with it yet.")
    typer.echo(
        f"Next: give the file to {_HOLDERS[purpose]} and restart them; then: liity keys promote {purpose}"
    )


@app.command()
def promote(purpose: Purpose, keys_dir: KeysDir = None, state_dir: StateDir = None) -> None:
    """Makes the newest key the one that writes. Every component with the file must have that key by now."""
    with ending_clearly():
        key_id = KeyRing(_folder(keys_dir, state_dir), purpose).promote()
    typer.echo(f"Key {key_id} is the primary key of {purpose}.")
    then = (
        "liity keys reencrypt"
        if purpose.startswith("hetu")
        else "liity keys show, until nothing needs the old key"
    )
    typer.echo(f"Next: give the file to {_HOLDERS[purpose]} and restart them; then: {then}")


@app.command()
def reencrypt(keys_dir: KeysDir = None, state_dir: StateDir = None) -> None:
    """Re-encrypts all personal identity codes under the primary keys, while everything runs.

    May be stopped and run again, and several times at once. Payloads in Temporal are never re-encrypted:
    their keys stay until the last history is deleted.
    """
    with ending_clearly():
        folder = _folder(keys_dir, state_dir)
        try:
            asyncio.run(_reencrypt(folder))
        except KeyboardInterrupt:
            typer.echo("Stopped. What is done stays done: run it again to go on.", err=True)
            raise typer.Exit(_INTERRUPTED) from None


@app.command()
def retire(
    purpose: Purpose,
    key_id: KeyId,
    keys_dir: KeysDir = None,
    state_dir: StateDir = None,
    margin: Margin = "PT1H",  # type: ignore[assignment]  # parsed
) -> None:
    """Removes a key that is not needed any more; refuses while something needs it."""
    with ending_clearly():
        ring = KeyRing(_folder(keys_dir, state_dir), purpose)
        try:
            asyncio.run(release(purpose, ring.key(key_id), margin))
        except KeyNeeded as refused:
            typer.echo(str(refused), err=True)
            raise typer.Exit(FAILED) from None
        ring.remove(key_id)
    typer.echo(f"Key {key_id} of {purpose} is removed.")
    typer.echo(
        f"Next: give the file to {_HOLDERS[purpose]} and restart them. Backups from before need the old file"
    )


@app.command()
def forget(
    purpose: Purpose,
    key_id: KeyId,
    keys_dir: KeysDir = None,
    state_dir: StateDir = None,
    yes: Annotated[bool, typer.Option(help="Do not ask.")] = False,
) -> None:
    """Gives up a key of identity that is lost for good, so that identity starts without it."""
    with ending_clearly():
        folder = _folder(keys_dir, state_dir)
        typer.echo(asyncio.run(loss(folder, purpose, key_id)))
        if not yes:
            typer.confirm("Is there no copy of it anywhere?", abort=True)
        asyncio.run(give_up(purpose, key_id))
    typer.echo(f"From now on identity starts without key {key_id} of {purpose}.")


def _folder(keys_dir: Path | None, state_dir: Path | None) -> Path:
    """The folder of the keys. With a state folder, sets the stack's settings in the environment."""
    if state_dir is not None:
        wiring = wiring_in(state_dir)
        os.environ.update(wiring.settings("worker") | wiring.settings("identity"))
        return wiring.keys_dir
    if keys_dir is None:
        raise SettingsError("--keys-dir or LIITY_KEYS_DIR must say where the key files are")
    os.environ["LIITY_KEYS_DIR"] = str(keys_dir)
    return keys_dir


def _state(key: Key) -> str:
    if key.primary:
        return "primary"
    return "waits to be promoted" if key.waiting else "reads"


def _shown(moment: datetime | None) -> str:
    return "" if moment is None else shown(moment)


async def _needed_by(purpose: str, key: Key, margin: timedelta) -> str:
    if key.primary and not purpose.startswith("hetu"):
        return "all that is written now"
    try:
        found = await needs(purpose, key, margin)
    except SettingsError as error:
        return f"not known: {error}"
    return "\n".join(need.what for need in found) or "nothing"


async def _reencrypt(keys_dir: Path) -> None:
    async with identity_engine() as engine:
        work = Reencryption(engine, HetuVault(keys_dir))
        total = await work.remaining()
        columns = ("Re-encrypted", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console()) as progress:
            bar = progress.add_task("", total=total)
            try:
                await work.run(lambda done: progress.advance(bar, done))
            except ReencryptionError as error:
                progress.stop()
                typer.echo(str(error), err=True)
                raise typer.Exit(FAILED) from None
            # Another run may have done a part of it.
            progress.update(bar, completed=total)
    typer.echo("All personal identity codes lie under the primary keys. Next: liity keys retire")
