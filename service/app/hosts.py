"""Under which names the HTTP port may be asked for: the header `Host`, looked at before anything else.

A page in somebody's browser can point its own name at an address that it could not reach otherwise, the
loopback for example (DNS rebinding), and then counts as the gateway's own page. What gives it away is the
name: an address cannot be pointed elsewhere, so that whoever asks for an address is let in, as probes of pods
and scrapes are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from service.app.listening import is_local

ANY = "*"

_LOCAL = ("localhost", "*.localhost")
_NAME = r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*"
_FORM = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_NAME}")
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::[0-9]{0,5})?")

_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names under which a port may be asked for, besides addresses.

    Attributes:
        names: In lower case; `*.example.com` for all below a domain, `*` for all.
    """

    names: frozenset[str] = frozenset({ANY})

    @classmethod
    def parse(cls, items: Iterable[str], bound_to: str) -> Hosts:
        """Read a list of names; an empty one allows all, or on the loopback the names of this machine.

        Args:
            items: The names.
            bound_to: The host that the port listens on, which is a name like those of the list.

        Raises:
            ValueError: An item is none; the text names it and what is allowed.
        """
        listed = tuple(items)
        for item in listed:
            if item != ANY and (_is_address(item) or not _FORM.fullmatch(item)):
                raise ValueError(
                    f"got {item[:_MOST_SHOWN]!r}; allowed: names in lower case without a port, such as "
                    f"paint.example.com, *.example.com for all below it, or {ANY} for all; addresses are "
                    "allowed without being listed"
                )
        if not listed and not is_local(bound_to):
            return cls()
        return cls(frozenset((*listed, *_LOCAL, _plain(bound_to))))

    def allow(self, asked_for: Iterable[str]) -> bool:
        """Whether a request with these headers `Host` is answered; one without any comes from no browser."""
        return ANY in self.names or all(map(self._allowed, asked_for))

    def _allowed(self, host: str) -> bool:
        if not (found := _HOST.fullmatch(host)):
            return False
        name = _plain(found["name"])
        if name in self.names or _is_address(name.removeprefix("[").removesuffix("]")):
            return True
        return any(each.startswith("*.") and name.endswith(each[1:]) for each in self.names)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
