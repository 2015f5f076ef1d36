"""The network address of a caller, also behind proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]


_MANY = 1000
"""Calls after which a single caller is suspicious: a town's schools make more within an hour."""


class CallerWatch:
    """Notices that all calls come from one network address: then limits per caller hit everybody at once.

    Trusted proxies that call for themselves, as checks and commands on the same machine do, do not count.
    """

    def __init__(self, trusted: Networks = ()) -> None:
        self._trusted = trusted
        self._calls = 0
        self._only: str | None = None

    def is_alone(self, address: str) -> bool:
        """Notes a call; True once, after many calls if all have come from one address."""
        if self._calls >= _MANY or _is_in(address, self._trusted):
            return False
        if self._calls and address != self._only:
            self._calls = _MANY
            return False
        self._only = address
        self._calls += 1
        return self._calls == _MANY


def caller_address(peer: str, forwarded: str, trusted: Networks) -> str:
    """The caller's network address, without a port.

    `peer` is gRPC's peer string, `forwarded` the whole `x-forwarded-for`, to which each proxy appends the
    address that called it. Entries are read from the right as long as the proxy that wrote them is trusted;
    what the first untrusted address has sent is ignored.
    """
    address = _of_peer(peer)
    if address is None:
        return peer
    for told in reversed(forwarded.split(",")):
        if not any(address in network for network in trusted):
            break
        before = _parse(told)
        if before is None:
            break
        address = before
    return str(address)


def _is_in(address: str, networks: Networks) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _of_peer(peer: str) -> Address | None:
    """The address in `ipv4:192.0.2.1:54321` or `ipv6:[2001:db8::1]:54321`, whose brackets may be escaped."""
    scheme, _, rest = peer.partition(":")
    return _parse(unquote(rest)) if scheme in {"ipv4", "ipv6"} else None


def _parse(text: str) -> Address | None:
    """Parses an address with or without a port; unwraps an IPv4 address mapped to IPv6."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
