"""The network address of a caller, also behind proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]


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
