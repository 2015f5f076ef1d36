"""Whom limits count by: the network address a call comes from, also through proxies."""

from ipaddress import ip_network

import pytest

from services.runtime.data.rate_limits import network_of
from services.runtime.rpc.client_address import CallerWatch, caller_address

PROXIES = (ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:54321", "192.0.2.1"),
        ("ipv6:[2001:db8::1]:54321", "2001:db8::1"),
        ("ipv6:%5B2001:db8::1%5D:54321", "2001:db8::1"),
        ("ipv6:[::ffff:192.0.2.1]:54321", "192.0.2.1"),
        ("unix:/run/liity.sock", "unix:/run/liity.sock"),
        ("", ""),
    ],
)
def test_the_address_of_a_peer(peer: str, address: str) -> None:
    assert caller_address(peer, "", PROXIES) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # From one of ours: whom it was called by.
        ("ipv4:10.1.2.3:1", "192.0.2.1", "192.0.2.1"),
        ("ipv4:10.1.2.3:1", " 192.0.2.1 ", "192.0.2.1"),
        ("ipv4:10.1.2.3:1", "192.0.2.1:5555", "192.0.2.1"),
        ("ipv4:10.1.2.3:1", "[2001:db8::7]:5555", "2001:db8::7"),
        ("ipv6:[2001:db8:1::2]:1", "2001:db8::7", "2001:db8::7"),
        # Through two of ours.
        ("ipv4:10.1.2.3:1", "192.0.2.1, 10.1.9.9", "192.0.2.1"),
        # Whatever the caller itself has written there is left of it.
        ("ipv4:10.1.2.3:1", "198.51.100.9, 192.0.2.1", "192.0.2.1"),
        ("ipv4:10.1.2.3:1", "10.1.0.1, 192.0.2.1", "192.0.2.1"),
        ("ipv4:10.1.2.3:1", "10.1.0.1,, 192.0.2.1, 10.1.4.4", "192.0.2.1"),
        # Called by one of ours itself.
        ("ipv4:10.1.2.3:1", "10.1.9.9", "10.1.9.9"),
        # It says nothing that one can read.
        ("ipv4:10.1.2.3:1", "", "10.1.2.3"),
        ("ipv4:10.1.2.3:1", "unknown", "10.1.2.3"),
        ("ipv4:10.1.2.3:1", "198.51.100.9, unknown", "10.1.2.3"),
        # From anybody else: nothing of it counts.
        ("ipv4:192.0.2.1:1", "198.51.100.9", "192.0.2.1"),
        ("ipv4:192.0.2.1:1", "10.1.2.3", "192.0.2.1"),
        ("unix:/run/liity.sock", "198.51.100.9", "unix:/run/liity.sock"),
    ],
)
def test_who_is_behind_a_proxy(peer: str, forwarded: str, address: str) -> None:
    assert caller_address(peer, forwarded, PROXIES) == address


def test_without_proxies_of_ours_nobody_is_believed() -> None:
    assert caller_address("ipv4:10.1.2.3:1", "198.51.100.9", ()) == "10.1.2.3"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unix:/run/liity.sock", "unix:/run/liity.sock"),
        ("", ""),
    ],
)
def test_one_site_is_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network


def test_many_calls_from_one_address_alone_are_noticed_once() -> None:
    watch = CallerWatch()
    assert [watch.is_alone("192.0.2.1") for _ in range(1002)] == [False] * 999 + [True, False, False]


def test_two_callers_are_not_one() -> None:
    watch = CallerWatch()
    addresses = ["192.0.2.1"] * 900 + ["192.0.2.2"] + ["192.0.2.1"] * 2000
    assert not any(watch.is_alone(address) for address in addresses)


def test_a_trusted_proxy_that_calls_for_itself_is_no_caller() -> None:
    watch = CallerWatch([ip_network("127.0.0.0/8")])
    assert not any(watch.is_alone("127.0.0.1") for _ in range(2000))
    assert [watch.is_alone("192.0.2.1") for _ in range(1000)][-1]
