"""The verb `maskweave status`: what a gateway is doing, for people on call."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from service.app.connection import connection, connection_options, printable
from service.app.listening import address_text
from service.app.probe import DEFAULT_HTTP_PORT, default_http_address, gateway_settings
from service.app.status.look import look
from service.app.status.text import status_text
from service.core.errors import ConfigurationError


@click.command()
@click.argument("address", required=False, metavar="[ADDRESS]")
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Where its metrics are, or the whole address of the page.  [default: beside a gateway, of its "
    f"settings; with ADDRESS, port {DEFAULT_HTTP_PORT} of the same host]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    help="How long to count for what is shown of the last moments.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: all of it, durations in seconds.")
@connection_options
def status(address: str | None, http: str | None, seconds: float, as_json: bool, **options: Any) -> None:
    """Show what a gateway is doing: models, queue, rates, latencies, sessions, cache.

    ADDRESS is HOST:PORT of its gRPC port; beside a gateway it is that of its settings. It is asked for its
    health and its models, and its metrics are read twice. What cannot be found out is said, and the rest is
    shown.

    Exits with 0 if it is SERVING, else with 1.
    """
    try:
        gateway = connection(address, **options)
        found = look(gateway, _page(http, address), seconds)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    told = {"serving": found.serving, **asdict(found)}
    click.echo(json.dumps(told, indent=2) if as_json else printable(status_text(found)))
    if not found.serving:
        raise click.exceptions.Exit(1)


def _page(http: str | None, address: str | None) -> str:
    """Where the page of metrics is."""
    if http is not None:
        if http.startswith(("http://", "https://")):
            return http
        host, colon, port = http.rpartition(":")
        if not (host and colon and port.isdecimal()):
            raise click.BadParameter(
                f"got {http!r}; allowed: HOST:PORT, or an address that begins with http://"
            )
        return f"http://{http}/metrics"
    if address is None:
        return f"http://{default_http_address(gateway_settings())}/metrics"
    host = address.rpartition(":")[0].strip("[]")
    if not host or "://" in address or address.startswith("unix:"):
        raise click.UsageError(f"where the metrics of {address} are has to be said: --http HOST:PORT")
    return f"http://{address_text(host, DEFAULT_HTTP_PORT)}/metrics"
