"""Verb `export` of the command `maskweave`: a group whose commands are imported only when they are run.

Building and checking plans happens on servers that have no PyTorch.
"""

from __future__ import annotations

import importlib

import click

# One line for each command, kept here so that listing them imports none.
SUMMARIES = {
    "repository": "Compile a pack to ONNX and write its model repository.",
    "beside": "Put a repository's models beside those of another version.",
    "int8": "Write 8-bit graphs beside those of a repository.",
    "engines": "Build the TensorRT plans of a repository on this machine.",
    "check-plans": "Refuse plans that this machine must not load.",
    "verify": "Compare a repository's images with PyTorch's.",
    "flops": "Count what an image computes, stage by stage.",
    "untrained": "Write packs that nobody trained, to measure what sizes cost.",
}


class _LazyGroup(click.Group):
    """Commands by the name of their module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUMMARIES:
            return None
        module = importlib.import_module(f"export.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=_LazyGroup)
def export() -> None:
    """Compile a trained pack into what a server runs, and prove that it gives the same images."""
