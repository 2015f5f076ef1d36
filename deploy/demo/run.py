"""The demonstration: everyday tasks, step by step, using only the public API and the mailbox."""

from pathlib import Path

from rich.console import Console

from deploy.demo.cast import Cast
from deploy.demo.narration import Narrator
from deploy.demo.no_code import NoCodeStory
from deploy.demo.registration import RegistrationStory
from deploy.demo.removal import RemovalStory
from deploy.demo.transfer import TransferStory
from deploy.local.seed import DemoAccount


class Demonstration:
    """Runs all parts in order. Each run makes up new persons, so it can be repeated."""

    def __init__(
        self,
        gateway: str,
        mailbox: str,
        web: str,
        accounts: dict[str, DemoAccount],
        console: Console,
        gateway_ca: Path | None = None,
    ) -> None:
        self._web = web
        self._narrator = Narrator(console)
        self._cast = Cast(gateway, mailbox, accounts, self._narrator, gateway_ca)

    async def run(self) -> None:
        """Runs all steps. Raises `StepFailed` at the first that fails."""
        try:
            await RegistrationStory(self._cast).tell()
            await TransferStory(self._cast).tell()
            await self._cast.log_in(self._cast.staff, "staff")
            await RemovalStory(self._cast).tell()
            await NoCodeStory(self._cast).tell()
        finally:
            await self._cast.close()
        self._narrator.console.print(
            f"\n[bold green]All {self._narrator.steps} steps went as they should.[/]"
            " In Temporal UI every run shows what it waits for:"
            ' try the query [cyan]LiityStage = "WAITING_FOR_CONSENT"[/]'
        )
        self._name_pages()

    def _name_pages(self) -> None:
        say = self._narrator.console.print
        say("\n[bold]Its people, in the browser[/] (the log-in page offers the accounts)")
        for who, account, page in self._cast.pages:
            email = self._cast.accounts[account].email
            say(f"  {who}, as {email}:\n    [link]{self._web}/{page}[/]", soft_wrap=True)
