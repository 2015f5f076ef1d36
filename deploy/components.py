"""The components that are our own programs, and how each is run."""

from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, cast

_SERVERS = {
    "identity": "services.identity.server",
    "registration": "services.registration.server",
    "notification": "services.notification.server",
    "gateway": "services.gateway.server",
    "codec": "services.codec.server",
    "worker": "workflows.worker",
    "web": "deploy.web",
    "mailbox": "deploy.local.mailbox.server",
    "tls-end": "deploy.local.tls_proxy",
}

COMPONENTS = tuple(_SERVERS)
"""What `liity serve` can serve."""

WITH_DATABASE = ("identity", "registration", "notification")
"""What `liity migrate` can migrate."""


def runner(component: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """What runs a component until SIGTERM. Only this component's code is imported."""
    return cast(Callable[[], Coroutine[Any, Any, None]], import_module(_SERVERS[component]).run)
