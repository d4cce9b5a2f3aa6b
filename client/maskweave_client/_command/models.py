"""The verb `models`: what a service offers."""

from __future__ import annotations

from typing import Any

import click

from maskweave_client import Model
from maskweave_client._command.connection import connected, connection_options


@click.command()
@click.argument("name", required=False)
@connection_options
def models(name: str | None, **connection: Any) -> None:
    """List a service's models; with NAME, its classes and their colours too."""
    with connected(**connection) as client:
        if name is not None:
            click.echo(_whole(client.model(name)))
            return
        for model in client.models():
            click.echo(_line(model))


def _line(model: Model) -> str:
    kinds = [each.kind.replace("_", "-") for each in model.conditions if each.kind != "proxy_mask"]
    can = [*kinds, *(["styles"] if model.styles else []), *(["edit"] if model.editing else [])]
    can += ["read-map"] if model.reading else []
    size = f"{model.image_width}x{model.image_height}"
    return f"{model.name:24} {model.version:8} {size:10} {', '.join(can)}"


def _whole(model: Model) -> str:
    classes = "\n".join(f"{each.id:4}  {each.color}  {each.name:20} {each.title}" for each in model.palette)
    versions = ", ".join(model.available_versions)
    return f"{_line(model)}\n{model.description}\nversions: {versions or model.version}\nclasses:\n{classes}"
