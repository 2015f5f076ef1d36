"""Where a call comes from, also through proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]


def caller_address(peer: str, forwarded: str, trusted: Networks) -> str:
    """The network address of a caller, without a port.

    `peer` is as gRPC names it, `forwarded` the whole of `x-forwarded-for`, to which each proxy appends whom
    it was called by. What trusted proxies say of one another counts, up to the first whom nobody vouches
    for; what that one says itself does not.
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
    """An address, with a port or without; one of IPv4 also where it is written as one of IPv6."""
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
