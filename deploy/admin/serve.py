"""`liity serve`: one component as a process of its own."""

from typing import Annotated

import typer
import uvloop

from deploy.components import COMPONENTS, runner
from deploy.ending import ending_clearly

app = typer.Typer(add_completion=False)


def _component(value: str) -> str:
    if value not in COMPONENTS:
        raise typer.BadParameter(f"one of {', '.join(COMPONENTS)}")
    return value


@app.command()
def serve(
    component: Annotated[str, typer.Argument(callback=_component, help=f"One of {', '.join(COMPONENTS)}.")],
) -> None:
    """Serves one component until SIGTERM or SIGINT. Its settings come from the environment."""
    with ending_clearly():
        uvloop.run(runner(component)())
