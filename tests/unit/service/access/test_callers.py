"""Callers behind proxies: nobody but a trusted proxy says who calls, whatever is in the header."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.access.callers import UNIX, TrustedProxies, caller_address

HEADER = "x-forwarded-for"
PROXIES = TrustedProxies.parse(["10.0.0.0/8", "2001:db8::/32"])
PROXY_PEER = "ipv4:10.0.0.1:4711"


def called(peer: str, *values: str | bytes, proxies: TrustedProxies = PROXIES) -> str:
    return caller_address(
        peer, [("user-agent", "x"), *((HEADER, value) for value in values)], HEADER, proxies
    )


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:[2001:DB8:0::7]:4711", "2001:db8::/64"),
        ("ipv6:[2001:db8::ffff:ffff:ffff:ffff]:4711", "2001:db8::/64"),
        ("ipv6:[2001:db8:0:1::7]:4711", "2001:db8:0:1::/64"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[::ffff:192.0.2.7]:4711", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::/64"),
        ("unix:", UNIX),
        ("unix:/run/maskweave.sock", UNIX),
        ("unix-abstract:maskweave", UNIX),
        ("", ""),
        ("vsock:3:1", "vsock:3:1"),
        ("ipv4:nonsense", "ipv4:nonsense"),
        ("x" * 1000, "x" * 100),
    ],
)
def test_without_a_proxy_the_peer_is_the_caller(peer: str, address: str) -> None:
    assert caller_address(peer, [], "", TrustedProxies()) == address
    assert called(peer, proxies=TrustedProxies()) == address


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ([], "10.0.0.1"),
        (["192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9", "192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7", "10.1.2.3,10.9.9.9"], "192.0.2.7"),
        (["192.0.2.7,::ffff:10.1.2.3"], "192.0.2.7"),
        (["192.0.2.7 , 2001:db8::1"], "192.0.2.7"),
        (["192.0.2.7:81"], "192.0.2.7"),
        (["[2001:db9::7]:81"], "2001:db9::/64"),
        (["[2001:db9::7]"], "2001:db9::/64"),
        (["2001:db9:0:0::7"], "2001:db9::/64"),
        (["10.1.2.3"], "10.1.2.3"),
        (["192.0.2.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (["192.0.2.7, unknown"], "10.0.0.1"),
        (["192.0.2.7,"], "10.0.0.1"),
        (["192.0.2.7, unix"], "10.0.0.1"),
        ([b"192.0.2.7"], "10.0.0.1"),
        ([", ".join(["192.0.2.7", *["10.1.2.3"] * 10_000])], "10.1.2.3"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy_is_the_caller(
    values: list[str | bytes], address: str
) -> None:
    assert called(PROXY_PEER, *values) == address


def test_callers_over_a_unix_socket_are_proxies_where_the_operator_says_so() -> None:
    assert called("unix:", "192.0.2.7") == UNIX
    assert called("unix:", "192.0.2.7", proxies=TrustedProxies.parse([UNIX])) == "192.0.2.7"


@pytest.mark.parametrize(
    "item", ["10.0.0.1/8", "10.0.0.0/33", "proxy.example", "", "10.0.0.0-10.0.0.9", "x" * 999]
)
def test_what_is_no_network_is_refused_by_name(item: str) -> None:
    with pytest.raises(ValueError, match="allowed: addresses, networks such as"):
        TrustedProxies.parse(["10.0.0.0/8", item])


def is_proxy(caller: str) -> bool:
    """Whether a caller, told by its network where it is an IPv6 one, is among the proxies."""
    return PROXIES.trusts(caller.removesuffix("/64"))


addresses = st.ip_addresses()
hops = st.one_of(
    addresses.map(str), st.text(max_size=30), st.sampled_from(["", "unknown", "::%a", "[", "]:1", ":1"])
)
peers = st.one_of(
    addresses.map(lambda address: f"ipv{address.version}:[{address}]:1"),
    st.ip_addresses(v=4).map(lambda address: f"ipv4:{address}:1"),
    st.text(max_size=50),
    st.just("unix:"),
)


@given(peers, st.lists(hops, max_size=5))
def test_who_is_no_proxy_changes_nothing_by_any_header(peer: str, listed: list[str]) -> None:
    own = caller_address(peer, [], "", PROXIES)
    if not is_proxy(own):
        assert called(peer, ",".join(listed)) == own


@given(
    st.ip_addresses(), st.lists(hops, max_size=5), st.lists(st.ip_addresses(network="10.0.0.0/8"), max_size=5)
)
@example(ipaddress.ip_address("2001:db8::"), ["0.0.0.0"], [])
def test_what_a_caller_sends_never_hides_the_address_that_a_proxy_saw(
    caller: ipaddress.IPv4Address | ipaddress.IPv6Address,
    sent: list[str],
    between: list[ipaddress.IPv4Address],
) -> None:
    own = called(f"ipv6:[{caller}]:1", proxies=TrustedProxies())
    header = ",".join([*sent, str(caller), *map(str, between)])
    if not is_proxy(own):
        assert called(PROXY_PEER, header) == own


@given(peers, st.lists(st.text(max_size=80) | st.binary(max_size=80), max_size=3))
def test_nonsense_is_survived_and_short(peer: str, values: list[str | bytes]) -> None:
    for given_peer in (peer, PROXY_PEER):
        assert len(called(given_peer, *values)) <= 100
