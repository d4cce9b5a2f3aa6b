"""A pack's name on the command line."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from training.config.packs import available_packs


class PackName(click.ParamType):  # type: ignore[type-arg]  # generic to newer stubs only
    """The name of a pack that has a configuration, looked up when the command runs."""

    name = "pack"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a pack; else the command's usage error names those there are."""
        if value not in (known := available_packs()):
            self.fail(f"{value!r} is none of {', '.join(known)}.", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin so."""
        return [CompletionItem(name) for name in available_packs() if name.startswith(incomplete)]
