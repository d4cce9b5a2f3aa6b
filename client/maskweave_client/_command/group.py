"""All verbs as one command."""

from __future__ import annotations

import click

from maskweave_client._command.draw import draw
from maskweave_client._command.edit import edit
from maskweave_client._command.models import models
from maskweave_client._command.morph import morph
from maskweave_client._command.read_map import read_map


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="maskweave-client")
def group() -> None:
    """Images from drawings, by a running Maskweave service."""


for _verb in (draw, edit, morph, read_map, models):
    group.add_command(_verb)
