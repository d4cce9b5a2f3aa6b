"""The verb `maskweave key`: makes a key for a caller and the entry that the gateway keeps of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from service.access.keys import KeyEntry, KeysError, Scope, make_key, parse_keys


@click.command()
@click.option("--id", "key_id", required=True, metavar="NAME", help="Name of the key in logs and limits.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What the key is for; may be given several times.",
)
@click.option("--requests-per-second", type=float, help="Requests granted in the long run; no limit without.")
@click.option("--burst", type=int, help="Requests at once after a pause; a second's worth without.")
@click.option("--max-concurrent", type=int, help="Requests in progress at a time; no limit without.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the entry to this file of keys instead of printing it.",
)
def key(
    key_id: str,
    scopes: tuple[str, ...],
    requests_per_second: float | None,
    burst: int | None,
    max_concurrent: int | None,
    file: Path | None,
) -> None:
    """Make an API key.

    Prints the key, which is shown this once and kept nowhere, and the entry for the gateway's file of keys
    (--api-keys-file), from which nobody learns the key.
    """
    try:
        secret, entry = make_key(
            key_id,
            [Scope(scope) for scope in scopes],
            requests_per_second=requests_per_second,
            burst=burst,
            max_concurrent=max_concurrent,
        )
    except KeysError as error:
        raise click.UsageError(str(error)) from None
    if file is None:
        click.echo(f"{secret}\n\n{entry.to_toml()}", nl=False)
        return
    try:
        _add(file, entry)
    except (KeysError, OSError) as error:
        raise click.ClickException(f"{file}: {error}") from None
    click.echo(secret)


def _add(file: Path, entry: KeyEntry) -> None:
    """Add an entry to a file of keys that stays one, as seen by whoever reads it at any time."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    after = f"{before.rstrip()}\n\n{entry.to_toml()}".lstrip()
    parse_keys(after)
    replacement = file.with_name(f".{file.name}.new")
    replacement.write_text(after, encoding="utf-8")
    if before:
        shutil.copymode(file, replacement)
    replacement.replace(file)
