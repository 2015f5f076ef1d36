"""`liity serve`: one or several components as a process of their own."""

from typing import Annotated

import typer
import uvloop

from deploy.components import COMPONENTS, STOP_ORDER, runner
from deploy.ending import ending_clearly
from services.runtime.components import run_components
from services.runtime.management import managing

app = typer.Typer(add_completion=False)


def _known(values: list[str]) -> list[str]:
    if not set(values) <= set(COMPONENTS):
        raise typer.BadParameter(f"one of {', '.join(COMPONENTS)}")
    if len(set(values)) < len(values):
        raise typer.BadParameter("each component once")
    return values


@app.command()
def serve(
    components: Annotated[
        list[str],
        typer.Argument(callback=_known, metavar="COMPONENT...", help=f"Of {', '.join(COMPONENTS)}."),
    ],
) -> None:
    """Serves components until SIGTERM or SIGINT. Their settings come from the environment.

    Several in one process call each other without the network. `LIITY_IDENTITY_LISTEN` is identity's own
    `LIITY_LISTEN`, and so on for every component and setting.
    """
    with ending_clearly():
        runners = {name: runner(name) for name in components}
        uvloop.run(run_components(runners, STOP_ORDER, managing))
