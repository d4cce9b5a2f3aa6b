"""From which address a call came, also when proxies stand between the caller and us.

Without keys, callers are told apart by their address. Behind a proxy all calls come from the proxy, which
writes the caller's address into a header. Anyone can send such a header, so that it counts only as far as the
proxies that the operator trusts have written it: read from the right, up to the first address that is not
one of theirs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

UNIX = "unix"
"""The address of all callers over Unix sockets, and the word for them among trusted proxies."""

_MAX_PEER_CHARS = 100

# More than any chain of proxies has; the headers of a call are short, but read for every call.
_MAX_HOPS = 32

# Of the addresses of one network of this length, all may be one machine's.
_IPV6_CALLER_BITS = 64

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::\d+)?|(?P<v4>[^:]*):\d+")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Proxies whose word on a caller's address is taken.

    Attributes:
        networks: Where they are.
        unix: Whether callers over a Unix socket are proxies too.
    """

    networks: tuple[_Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, items: Iterable[str]) -> TrustedProxies:
        """Read addresses, networks in CIDR form, and `unix`.

        Raises:
            ValueError: An item is none of these; the text names it and what is allowed.
        """
        networks, unix = [], False
        for item in items:
            if item == UNIX:
                unix = True
                continue
            try:
                networks.append(ipaddress.ip_network(item))
            except ValueError as error:
                reason = str(error)[:_MAX_PEER_CHARS]
                raise ValueError(
                    f"{reason}; allowed: addresses, networks such as 10.0.0.0/8, and {UNIX}"
                ) from None
        return cls(tuple(networks), unix)

    def trusts(self, address: str) -> bool:
        """Whether an address, as `caller_address` writes them, is one of a trusted proxy."""
        if address == UNIX:
            return self.unix
        parsed = _parsed(address)
        # A network of the other version has no such address; asking says so.
        return parsed is not None and any(parsed in network for network in self.networks)


def caller_address(
    peer: str, metadata: Iterable[tuple[str, str | bytes]], header: str, proxies: TrustedProxies
) -> str:
    """The address of the machine that a call came from, without a port; of IPv6 its network.

    Whoever has one IPv6 address has as many as they like: nobody is given less than 64 bits of them.

    Args:
        peer: The other end of the connection, as gRPC writes it: `ipv4:192.0.2.1:4711`.
        metadata: The call's, as gRPC has it; a header that comes several times counts as one list.
        header: Name of the header to which proxies add the address that they were called from, in lower case;
            empty for none.
        proxies: Whose word is taken.

    Returns:
        An address in its canonical form, IPv4 for IPv4-mapped IPv6; of other IPv6 addresses, but for
        loopback, the network `/64`; `unix` for Unix sockets; the start of `peer` where it is none of these.
    """
    return _whose(_nearest_stranger(peer, metadata, header, proxies))


def _nearest_stranger(
    peer: str, metadata: Iterable[tuple[str, str | bytes]], header: str, proxies: TrustedProxies
) -> str:
    address = _peer_address(peer)
    if not header or not proxies.trusts(address):
        return address
    for hop in _hops(metadata, header):
        found = _hop_address(hop)
        if found is None:  # nonsense, or a hidden caller: nearer than this nobody is known
            return address
        address = found
        if not proxies.trusts(address):
            return address
    return address


# Calls of a connection all come from the same place. Bounded, since callers choose what they send.
@lru_cache(maxsize=1024)
def _whose(address: str) -> str:
    parsed = _parsed(address)
    if not isinstance(parsed, ipaddress.IPv6Address) or parsed.is_loopback:
        return address
    return str(ipaddress.IPv6Network((parsed, _IPV6_CALLER_BITS), strict=False))


def _hops(metadata: Iterable[tuple[str, str | bytes]], header: str) -> Iterator[str]:
    """What the header lists, the nearest proxy's entry first."""
    values = [value for name, value in metadata if name == header and isinstance(value, str)]
    for _, hop in zip(range(_MAX_HOPS), reversed(",".join(values).split(",")), strict=False):
        yield hop.strip()


def _hop_address(hop: str) -> str | None:
    found = _WITH_PORT.fullmatch(hop)
    parsed = _parsed((found["v6"] or found["v4"] or "") if found else hop)
    return None if parsed is None else str(parsed)


@lru_cache(maxsize=1024)
def _peer_address(peer: str) -> str:
    kind, _, rest = peer.partition(":")
    if kind in {"unix", "unix-abstract"}:
        return UNIX
    address = _hop_address(unquote(rest)) if kind in {"ipv4", "ipv6"} else None
    return address or peer[:_MAX_PEER_CHARS]


def _parsed(text: str) -> _Address | None:
    try:
        # Without the zone: it names an interface of the machine that wrote it.
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
