"""Files that change in every way that files do, and what is in them: the last good state stays in use."""

# ruff: noqa: ASYNC110, ASYNC240 - files of a few bytes, and events that only the files bring about

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.access.keys import Keys, Scope, make_key
from service.app import files
from service.app.credentials import read_keys
from service.app.files import read_file, reloading, stamp
from service.core.metrics import Metrics
from tests.support.promises import in_time

_WAIT_SECONDS = 60
QUIET_SECONDS = 0.2
ENTRIES = [make_key(name, [Scope.EDIT])[1].to_toml() for name in ("first", "second", "third")]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files often where there is no notice, so that these tests do not wait for seconds."""
    monkeypatch.setattr(files, "LOOK_SECONDS", 0.5)


class Follower:
    """Follows a file of keys as a gateway does."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.metrics = Metrics()
        self.keys = read_keys(file)

    def use(self, keys: Keys) -> None:
        self.keys = keys

    @property
    def ids(self) -> list[str]:
        return [entry.id for entry in self.keys]

    def count(self, result: str) -> float:
        name = f'maskweave_reloads_total{{result="{result}",what="keys"}} '
        lines = self.metrics.render().decode().splitlines()
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    async def reaches(self, *ids: str) -> None:
        await self.until(lambda: self.ids == list(ids))

    async def refuses_after(self, count: float) -> None:
        await self.until(lambda: self.count("refused") > count)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(_WAIT_SECONDS):
            while not happened():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def following(file: Path) -> AsyncIterator[Follower]:
    known = stamp([file])
    follower = Follower(file)
    async with reloading("keys", [file], known, lambda: read_keys(file), follower.use, follower.metrics):
        yield follower


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.toml"
    file.write_text(ENTRIES[0])
    return file


def replace(file: Path, content: str) -> None:
    new = file.with_name("new")
    new.write_text(content)
    new.replace(file)


async def test_a_file_that_is_written_or_replaced_is_read_again(file: Path) -> None:
    async with following(file) as follower:
        file.write_text(ENTRIES[1])
        await follower.reaches("second")
        replace(file, ENTRIES[2])
        await follower.reaches("third")
        with file.open("a") as appended:
            appended.write("\n" + ENTRIES[0])
        await follower.reaches("third", "first")
    assert follower.count("refused") == 0


async def test_a_change_before_the_watch_begins_is_seen(file: Path) -> None:
    known = stamp([file])
    follower = Follower(file)
    replace(file, ENTRIES[1])
    async with reloading("keys", [file], known, lambda: read_keys(file), follower.use, follower.metrics):
        await follower.reaches("second")


async def test_a_file_that_is_deleted_and_made_again(file: Path) -> None:
    async with following(file) as follower:
        file.unlink()
        await follower.until(lambda: follower.count("refused") == 1)
        assert follower.ids == ["first"]
        file.write_text(ENTRIES[1])
        await follower.reaches("second")


async def test_a_directory_that_is_deleted_and_made_again(tmp_path: Path) -> None:
    directory = tmp_path / "mounted"
    directory.mkdir()
    file = directory / "keys.toml"
    file.write_text(ENTRIES[0])
    async with following(file) as follower:
        for number, name in ((1, "second"), (2, "third")):
            refused = follower.count("refused")
            shutil.rmtree(directory)
            await follower.refuses_after(refused)
            directory.mkdir()
            file.write_text(ENTRIES[number])
            await follower.reaches(name)


async def test_mounted_secrets_change_by_a_swap_of_links(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for number, entry in enumerate(ENTRIES):
        (mounted / f"..{number}").mkdir()
        (mounted / f"..{number}" / "keys.toml").write_text(entry)
    (mounted / "..data").symlink_to("..0")
    (mounted / "keys.toml").symlink_to("..data/keys.toml")
    (tmp_path / "elsewhere").symlink_to(mounted / "keys.toml")
    async with following(tmp_path / "elsewhere") as follower:
        for number, name in ((1, "second"), (2, "third")):
            (mounted / "..new").symlink_to(f"..{number}")
            (mounted / "..new").replace(mounted / "..data")
            shutil.rmtree(mounted / f"..{number - 1}")
            await follower.reaches(name)
    assert follower.count("refused") == 0


async def test_a_slow_writer_ends_with_what_was_written(file: Path) -> None:
    content = "\n".join(ENTRIES).encode()
    async with following(file) as follower:
        with file.open("wb", buffering=0) as slow:
            for start in range(0, len(content), 40):
                slow.write(content[start : start + 40])
                await asyncio.sleep(0.05)
        await follower.reaches("first", "second", "third")


async def test_without_notices_the_state_of_the_file_tells(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_watches_left(*_: object, **__: object) -> None:
        raise OSError("no watches left")

    monkeypatch.setattr(files, "awatch", no_watches_left)
    async with following(file) as follower:
        for number, name in ((1, "second"), (2, "third")):
            with in_time(files.LOOK_SECONDS):
                replace(file, ENTRIES[number])
                await follower.reaches(name)


async def test_a_notice_is_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the file's state before the test is over."""
    monkeypatch.setattr(files, "LOOK_SECONDS", 10.0 * _WAIT_SECONDS)
    async with following(file) as follower:
        await asyncio.sleep(0.5)  # until it is watched: before that its state tells
        with in_time(QUIET_SECONDS):
            replace(file, ENTRIES[1])
            await follower.reaches("second")


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _large(file: Path) -> None:
    with file.open("wb") as large:
        large.truncate(2**40)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "no key": lambda file: file.write_text("keys = []"),
    "text": lambda file: file.write_text("hello"),
    "binary": lambda file: file.write_bytes(bytes(range(256))),
    "zeros": lambda file: file.write_bytes(bytes(1000)),
    "huge number": lambda file: file.write_text("a = " + "9" * 5_000),
    "deep": lambda file: file.write_text("a = " + "[" * 100_000),
    "dots": lambda file: file.write_text(".".join("a" * 100_000) + " = 1"),
    "directory": _directory,
    "pipe": _pipe,
    "a link to itself": _loop,
    "large": _large,
    "absent": Path.unlink,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_whatever_a_file_becomes_the_keys_from_before_stay(file: Path, name: str) -> None:
    async with following(file) as follower:
        HOSTILE[name](file)
        await follower.until(lambda: follower.count("refused") >= 1)
        assert follower.ids == ["first"]
        if file.is_dir():
            file.rmdir()
        file.unlink(missing_ok=True)
        file.write_text(ENTRIES[1])
        await follower.reaches("second")


@pytest.mark.parametrize(
    "error", [RecursionError, MemoryError, ValueError("mwk_secret"), KeyError, RuntimeError]
)
async def test_a_reader_that_fails_in_an_unknown_way_is_survived(
    file: Path, error: BaseException | type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    follower, failing = Follower(file), True

    def load() -> Keys:
        if failing:
            raise error
        return read_keys(file)

    async with reloading("keys", [file], stamp([file]), load, follower.use, follower.metrics):
        replace(file, ENTRIES[1])
        await follower.until(lambda: follower.count("refused") == 1)
        failing = False
        replace(file, ENTRIES[2])
        await follower.reaches("third")
    assert "secret" not in str([vars(record) for record in caplog.records])


async def test_the_watch_ends_with_its_context(file: Path) -> None:
    before = asyncio.all_tasks()
    async with following(file):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_a_file_is_read_whole_or_not_at_all(file: Path) -> None:
    file.write_bytes(b"12345")
    assert read_file(file, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_file(file, 4)
