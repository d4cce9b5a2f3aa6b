"""Which files a verb reads, and where what comes of them goes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
"""Of images that are written."""
INPUT_ENDINGS = (".png", ".jpg", ".jpeg")
"""Of what folders are searched for: files that the service takes."""
FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_ENDING_OF = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}

INPUTS = click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FILE|FOLDER..."
)


@dataclass(frozen=True)
class Input:
    """A file that is read.

    Attributes:
        path: Where it lies.
        place: Its place below the folder that was named, without ending; its bare name for a file.
    """

    path: Path
    place: Path


@dataclass(frozen=True)
class Task:
    """What is made of one file.

    Attributes:
        source: The file.
        outputs: What is written, in the order of the images.
    """

    source: Input
    outputs: tuple[Path, ...]


def found_inputs(named: Sequence[Path], output: Path) -> list[Input]:
    """The files that are named, and all images below the folders that are, but for what lies in `output`.

    Raises:
        click.UsageError: There are none.
    """
    found = []
    for path in named:
        if not path.is_dir():
            found.append(Input(path, Path(path.stem)))
            continue
        below = sorted(each for each in path.rglob("*") if each.suffix.lower() in INPUT_ENDINGS)
        found += [
            Input(each, each.relative_to(path).with_suffix(""))
            for each in below
            if each.is_file()
            and not each.name.startswith(".")
            and (path.resolve() == output.resolve() or output.resolve() not in each.resolve().parents)
        ]
    if not found:
        raise click.UsageError(f"no images ({', '.join(INPUT_ENDINGS)}) in {', '.join(map(str, named))}")
    return found


def is_one(named: Sequence[Path], output: Path, endings: Iterable[str]) -> bool:
    """Whether one file becomes one file; otherwise `output` is a folder.

    Raises:
        click.UsageError: `output` is a file, and more than one file is named.
    """
    if output.suffix.lower() not in endings or output.is_dir():
        if output.is_file():
            raise click.UsageError(
                f"--output: got the file {output}; allowed: a folder, or {', '.join(endings)}"
            )
        return False
    if len(named) > 1 or named[0].is_dir():
        raise click.UsageError(
            f"--output: got the file {output} for a folder or several files; allowed: a folder"
        )
    return True


def image_format(output: Path, *, one: bool, given: str | None) -> str:
    """The format of the images: what the ending says, or else the option.

    Raises:
        click.UsageError: The two contradict each other.
    """
    told = FORMATS[output.suffix.lower()] if one else None
    if told and given and told != given:
        raise click.UsageError(
            f"--format: got {given} for {output}; allowed: {told}, or an ending of {given}"
        )
    return told or given or "png"


def image_tasks(inputs: Sequence[Input], output: Path, *, one: bool, ending: str, images: int) -> list[Task]:
    """What is written for each input: `NAME.png`, or `NAME-1.png` and so on where it is several images.

    Args:
        inputs: What is read.
        output: A file if `one`, or else a folder.
        one: Whether it is one file.
        ending: The ending of what is written.
        images: How many images come of each.

    Raises:
        click.UsageError: Two inputs would be written to one file.
    """
    tasks = []
    for each in inputs:
        stem = output.with_suffix("") if one else output / each.place
        ends = output.suffix if one else ending
        names = [stem.name] if images == 1 else [f"{stem.name}-{index}" for index in range(1, images + 1)]
        tasks.append(Task(each, tuple(stem.parent / f"{name}{ends}" for name in names)))
    return checked(tasks)


def checked(tasks: list[Task]) -> list[Task]:
    """The tasks, if all write to files of their own.

    Raises:
        click.UsageError: Two of them write to the same, or one writes to what is read.
    """
    written = Counter(path for task in tasks for path in task.outputs)
    twice = next((path for path, count in written.items() if count > 1), None)
    if twice is not None:
        who = [str(task.source.path) for task in tasks if twice in task.outputs]
        raise click.UsageError(f"{' and '.join(who[:2])} would both be written to {twice}; rename one")
    read = {task.source.path.resolve() for task in tasks}
    for path in written:
        if path.resolve() in read:
            raise click.UsageError(
                f"--output: {path} is read, and would be overwritten; allowed: another place"
            )
    return tasks


def ending_of(name: str) -> str:
    """The ending of a format's files."""
    return _ENDING_OF[name]


def write(path: Path, data: bytes) -> None:
    """Write a file at once: whoever interrupts the command finds all of it or nothing.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
