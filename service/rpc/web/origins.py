"""Which pages may call: those that the gateway itself serves, and those of the origins that are listed.

Browsers ask before most requests of other origins (CORS), but not before a WebSocket; both name the page's
origin, which is looked at here. Programs name none.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

ANY = "*"

_FORM = re.compile(r"(?:https?)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_ASKED_FOR = (
    "content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, x-grpc-web, x-user-agent, "
    "authorization, x-api-key, x-request-id, traceparent, tracestate"
)
_SHOWN = (
    "grpc-status, grpc-message, grpc-status-details-bin, x-request-id, trailer-x-request-id, "
    "trailer-server-timing"
)
_REMEMBERED_SECONDS = 7200


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of pages that may call, besides the gateway's own.

    Attributes:
        listed: Origins as browsers write them, or `*` for all.
    """

    listed: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, items: Iterable[str]) -> Origins:
        """Read a list of origins.

        Raises:
            ValueError: An item is none; the text names it and what is allowed.
        """
        listed = frozenset(items)
        for item in listed:
            if item != ANY and not _FORM.fullmatch(item):
                raise ValueError(
                    f"got {item[:100]!r}; allowed: origins as browsers write them, in lower case and "
                    f"without a path, such as https://paint.example.com, or {ANY} for all"
                )
        return cls(listed)

    def may_call(self, headers: Mapping[str, str]) -> bool:
        """Whether whoever sends a request with these headers may call."""
        origin = headers.get("Origin")
        if origin is None or origin in self.listed:
            return True
        if not origin.isascii():  # no browser's; and it goes into a header of the reply
            return False
        return ANY in self.listed or _is_own(origin, headers.get("Host", ""))

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """What a reply to a request that may call tells the browser."""
        if (origin := headers.get("Origin")) is None:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _SHOWN,
            "Vary": "Origin",
        }

    def preflight(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """What the reply to a browser that asks beforehand tells it."""
        return {
            **self.headers(headers),
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": _ASKED_FOR,
            "Access-Control-Max-Age": str(_REMEMBERED_SECONDS),
        }


def _is_own(origin: str, host: str) -> bool:
    """Whether a page's origin is what the request was sent to; a proxy may have taken off TLS in between."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None:
        return False
    return parts.netloc.removesuffix(port) == host.lower().removesuffix(port) != ""
