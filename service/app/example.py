"""A first request for whoever starts the gateway: a grpcurl command that works as it is printed."""

from __future__ import annotations

import base64
import json

from service.app.settings import Settings
from service.rpc.interceptors import SERVICE_NAME
from service.synthesis.registry.models import Model

# A face of 8 x 8 pixels by class names. Classes that a palette lacks become its first class.
_CLASSES = {
    ".": "background",
    "h": "hair",
    "s": "skin",
    "b": "brows",
    "e": "eyes",
    "n": "nose",
    "m": "mouth",
    "k": "neck",
}
_DRAWING = (
    "..hhhh..",
    ".hhhhhh.",
    ".hbssbh.",
    ".hessehh",
    ".hsnnshh",
    ".hsnnshh",
    ".hsmmshh",
    "kkkkkkkk",
)


def grpcurl_line(address: str, model: Model, settings: Settings) -> str:
    """A shell command that asks the gateway at `address` for an image of `model`.

    It works as it is printed on a gateway without TLS and keys; otherwise it has places to fill in.
    """
    request = {
        "model": model.name,
        "seed": 7,
        "label_map": {
            "raw": {"width": len(_DRAWING[0]), "height": len(_DRAWING), "data": _drawn_data(model)}
        },
    }
    body = json.dumps(request, separators=(",", ":"))
    options = "-cacert ca.crt" if settings.uses_tls else "-plaintext"
    if settings.tls_client_ca is not None:
        options += " -cert client.crt -key client.key"
    if settings.api_keys_file is not None:
        options += " -H 'authorization: Bearer <key>'"
    if address.startswith("unix:"):
        options, address = f"{options} -unix", address.removeprefix("unix:")
    return f"grpcurl {options} -d '{body}' {address} {SERVICE_NAME}/Synthesize"


def _drawn_data(model: Model) -> str:
    ids = {entry.name: entry.id for entry in model.palette}
    pixels = (ids.get(_CLASSES[pixel], model.class_ids[0]) for row in _DRAWING for pixel in row)
    return base64.b64encode(bytes(pixels)).decode()
