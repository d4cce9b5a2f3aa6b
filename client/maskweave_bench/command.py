"""The command `maskweave-bench`; without the extra that it needs, it says so."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        from maskweave_bench.cli import bench  # noqa: PLC0415 - it may be that what it needs is not there
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("maskweave"):
            raise
        sys.exit(
            f"maskweave-bench needs the package {missing!r}, which is not installed: "
            "pip install 'maskweave-client[bench]'"
        )
    bench(prog_name="maskweave-bench")
