"""`liity validate`: proves that a trial installation works, through its public API and its mailbox."""

import asyncio
from pathlib import Path

import typer
from pydantic import Field

from deploy.demo.cast import Cast
from deploy.demo.narration import Narrator
from deploy.demo.registration import RegistrationStory
from deploy.ending import ending_clearly
from deploy.local.seed import seed_at
from frontends.cli.console import console
from services.runtime.security.tls import component_certificate
from services.runtime.settings import RuntimeSettings, load

app = typer.Typer(add_completion=False)


class ValidateSettings(RuntimeSettings):
    """Settings of the command, prefix `LIITY_`. Keys and certificate are those of `seed`."""

    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service.")
    gateway: str = Field(description="host:port of the gateway.")
    gateway_ca: Path | None = Field(None, description="PEM of the CA of the gateway's certificate.")
    validate_mailbox: str = Field(description="host:port of the mailbox that takes the installation's mail.")
    validate_state_dir: Path = Field(description="Folder for the accounts that are created.")


@app.command()
def validate() -> None:
    """Proves that a trial installation works: a Save, a consent and their mails.

    Registers an adult and two children with made-up codes, answers for a guardian, and reads their mail in
    the mailbox. Creates two units and four accounts at first.
    """
    with ending_clearly():
        asyncio.run(_validate(load(ValidateSettings)))


async def _validate(settings: ValidateSettings) -> None:
    accounts = await seed_at(
        settings.validate_state_dir,
        settings.keys_dir,
        settings.identity_target,
        settings.registration_target,
        component_certificate("seed", settings),
    )
    narrator = Narrator(console())
    cast = Cast(settings.gateway, settings.validate_mailbox, accounts, narrator, settings.gateway_ca)
    try:
        await RegistrationStory(cast).tell()
    finally:
        await cast.close()
    narrator.console.print(f"\n[bold green]All {narrator.steps} steps went as they should.[/]")
