"""The playground: a page in the browser to paint on, served as it was built.

The files are read once, at start: what is served is what was there then, whatever path is asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath

from aiohttp import hdrs, web
from aiohttp.helpers import ETag

FILES = Path(__file__).parents[1] / "playground_files"
"""Where the build puts them, and the package has them; without them there is no playground."""

_PAGE = "index.html"

# Files whose names tell their content, so that a name never means anything else.
_NAMED_BY_CONTENT = "assets"

# Not left to the system's table, of which slim images have none.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_COMPRESSED = {".css", ".html", ".js", ".json", ".map", ".svg", ".txt", ".webmanifest"}

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), clipboard-write=(self), geolocation=(), microphone=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every file: the page reaches nothing but its own gateway, and nobody shows it in a page of their own."""


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    compressed: bytes | None
    etag: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class About:
    """What the page tells people of the gateway, so that what they copy runs.

    Attributes:
        grpc_address: `host:port` of the gRPC server, without the host where that is every address of the
            machine; empty while the gateway starts.
        grpc_tls: Whether it speaks TLS.
        keys: Whether calls need keys.
    """

    grpc_address: str = ""
    grpc_tls: bool = False
    keys: bool = False


def playground_routes(about: About, files: Path = FILES) -> list[web.RouteDef]:
    """The routes of the playground's files; none where they have not been built. Reads all of them."""
    if not (files / _PAGE).is_file():
        return []
    found = {path.relative_to(files).as_posix(): path for path in sorted(files.rglob("*")) if path.is_file()}
    served = {name: _read(name, path) for name, path in found.items()}
    served[""] = served[_PAGE]

    async def show(request: web.Request) -> web.Response:
        file = served.get(request.match_info["name"])
        return _missing() if file is None else _shown(request, file)

    async def tell(_: web.Request) -> web.Response:
        headers = {**SECURITY_HEADERS, hdrs.CACHE_CONTROL: "no-store"}
        return web.json_response(asdict(about), headers=headers)

    return [web.get("/playground.json", tell), web.get("/{name:.*}", show)]


def _read(name: str, path: Path) -> _File:
    body = path.read_bytes()
    suffix = path.suffix.lower()
    compressed = gzip.compress(body, mtime=0) if suffix in _COMPRESSED else None
    if compressed is not None and len(compressed) >= len(body):
        compressed = None
    lasting = PurePosixPath(name).parts[0] == _NAMED_BY_CONTENT
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return _File(
        body,
        compressed,
        hashlib.sha256(body).hexdigest()[:32],
        {
            **SECURITY_HEADERS,
            hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable" if lasting else "no-cache",
            hdrs.CONTENT_TYPE: kind,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        },
    )


def _shown(request: web.Request, file: _File) -> web.Response:
    headers = dict(file.headers)
    known = request.if_none_match or ()
    if any(each.value in (file.etag, "*") for each in known):
        del headers[hdrs.CONTENT_TYPE]
        response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    elif file.compressed is not None and _takes_gzip(request):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        response = web.Response(body=file.compressed, headers=headers)
    else:
        response = web.Response(body=file.body, headers=headers)
    # The same for both encodings of one content, which a weak tag is for.
    response.etag = ETag(file.etag, is_weak=True)
    return response


def _takes_gzip(request: web.Request) -> bool:
    accepted = request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().replace(" ", "").split(",")
    return any(each == "gzip" or (each.startswith("gzip;q=") and each != "gzip;q=0") for each in accepted)


def _missing() -> web.Response:
    return web.Response(
        status=HTTPStatus.NOT_FOUND, text="There is no such file.\n", headers=SECURITY_HEADERS
    )
