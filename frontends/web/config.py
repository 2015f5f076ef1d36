"""What the pages are configured with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class WebConfig:
    """Configuration of the pages."""

    origin: str
    """Scheme, host and port that browsers use, such as `https://liity.example`."""
    gateway: str
    """host:port of the gateway."""
    gateway_ca: Path | None
    """PEM of the CA of the gateway's certificate; None without TLS."""
    customer_service_email: str
    customer_service_url: str
    mailbox_url: str = ""
    """The local stack's mailbox; empty elsewhere."""
    demo_accounts: Mapping[str, str] = field(default_factory=dict)
    """Passwords of the local stack's demo accounts by e-mail address; empty elsewhere."""

    @property
    def is_https(self) -> bool:
        """Whether browsers use HTTPS."""
        return self.origin.startswith("https://")
