"""An HTTP client for the servers of the tests."""

from collections.abc import Mapping

import httpx2


def http_client(
    base: str = "", headers: Mapping[str, str] | None = None, *, follows: bool = False
) -> httpx2.AsyncClient:
    """A client of servers on loopback without TLS. `follows` redirects; paths are relative to `base`."""
    # Certificates would take 25 ms to load; a proxy of the environment has no place here.
    return httpx2.AsyncClient(
        base_url=base,
        headers=headers,
        follow_redirects=follows,
        timeout=300,
        verify=False,
        trust_env=False,
    )
