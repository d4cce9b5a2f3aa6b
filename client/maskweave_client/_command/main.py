"""The command `maskweave-client`: the verbs for machines on which `maskweave` is not installed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without the extra that it needs, say so."""
    try:
        from maskweave_client._command.group import group  # noqa: PLC0415 - it may be that click is not there
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("maskweave"):
            raise
        sys.exit(
            f"maskweave-client needs the package {missing!r}, which is not installed: "
            "pip install 'maskweave-client[cli]'"
        )
    group(prog_name="maskweave-client")
