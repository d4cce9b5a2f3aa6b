"""Fuzzes the targets with atheris, guided by coverage: `make fuzz ARGS="--seconds 600 --target png"`.

Each target runs in a process of its own, starts from its corpus in `tests/corpus` and adds what it discovers
to `runs/fuzz`. What makes a target raise is a bug: its input is kept there as `crash-*`, and belongs, named,
into the corpus together with the repair.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"
FOUND = ROOT / "runs" / "fuzz"
# Of one input: longer means hung. Memory in MiB: the service has far less to itself.
INPUT_SECONDS, INPUT_MEMORY = 20, 1024
LARGEST_INPUT = 65_536


def main() -> int:
    """Fuzz what was asked for, one target after the other; 1 when any has found something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _fuzz(options.inside, options.seconds)
    names = options.target or sorted(each.name for each in CORPUS.iterdir() if each.is_dir())
    failed = []
    for name in names:
        print(f"== {name}, {options.seconds} s", flush=True)
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.run",
            "--inside",
            name,
            "--seconds",
            str(options.seconds),
        ]
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print(f"found something: {', '.join(failed)}; see {FOUND}" if failed else "found nothing")
    return int(bool(failed))


def _fuzz(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - lives in an environment of its own

    with atheris.instrument_imports(include=["service"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={INPUT_MEMORY}"]
    rest = [f"-max_len={LARGEST_INPUT}", f"-artifact_prefix={found}/", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *rest, str(found), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
