"""The components that are our own programs, and how each is run."""

from typing import cast

from deploy.lazy import import_whole
from services.runtime.components import Runner

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


STOP_ORDER = (("web",), ("codec", "gateway", "worker"), WITH_DATABASE, ("mailbox",), ("tls-end",))
"""Groups of components in the order in which they stop: callers before those they call."""


def runner(component: str) -> Runner:
    """What runs a component until SIGTERM. Only this component's code is imported."""
    return cast(Runner, import_whole(_SERVERS[component]).run)
