"""Files that `torch.save` wrote, as data: a zip archive of today's, or the row of pickles of before 1.6.

Both hold one pickle of the values, whose tensors refer to storages beside it. The pickle is read by our own
machine, and an archive by its directory alone: entries must lie in the file as they are, one behind the
other, none twice. So nothing is larger in memory than in the file, and there is one reading of it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from training.generators.importers.opcodes import Budget, PickleRefusedError
from training.generators.importers.pickled import Call, Table, read_pickle
from training.generators.importers.torch_storages import (
    STORAGE_TYPES,
    PickledStorage,
    legacy_head,
    legacy_length,
    storage_id,
)
from training.generators.importers.torch_values import VALUES, Ignored, value_calls

ZIP = b"PK\x03\x04"
LEGACY_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""A pickle of the number that `torch.save` put first before 1.6."""
DIRECTORY_ENTRY = b"PK\x01\x02"
MAX_ENTRIES = 20_000
"""Storages of a checkpoint of 1024 px with discriminator and optimisers: some two thousand."""
MAX_PICKLE = 64 << 20
"""Bytes of an archive's pickle, which holds names and shapes."""
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of an entry: signature, and lengths of the name and of what follows it."""
PICKLE_NAME = "data.pkl"


def read_torch(content: bytes, calls: Mapping[str, Call] | None = None) -> Any:
    """The values of a file of `torch.save`; nothing in it is run.

    Args:
        content: the file.
        calls: what it may call besides what every checkpoint may; answered by these functions.

    Returns:
        Plain values; tensors as `PickledTensor`, optimisers' and settings' objects as `Ignored`.

    Raises:
        PickleRefusedError: if it is damaged, wants to run something, or would grow when it is read.
    """
    budget = Budget()
    table = Table(
        calls={**value_calls(budget), "argparse.Namespace": lambda *_: Ignored(), **(calls or {})},
        values=VALUES | STORAGE_TYPES.keys(),
    )
    return (_read_archive if content.startswith(ZIP) else _read_legacy)(content, table, budget)


def is_torch(content: bytes) -> bool:
    """Whether a file begins as `torch.save` begins one."""
    return content.startswith((ZIP, LEGACY_TORCH))


class _Storages:
    """Storages by key; every mention of one must say the same of it."""

    def __init__(self) -> None:
        self.found: dict[str, PickledStorage] = {}

    def __call__(self, identity: Any) -> PickledStorage:
        kind, key, count = storage_id(identity)
        storage = self.found.setdefault(key, PickledStorage(kind, count))
        if (storage.kind, storage.count) != (kind, count):
            raise PickleRefusedError("has a storage that is said to be two different ones")
        return storage


def _read_archive(content: bytes, table: Table, budget: Budget) -> Any:
    entries = _entries(content)
    names = [name for name in entries if name.count("/") == 1 and name.endswith(f"/{PICKLE_NAME}")]
    if len(names) != 1:
        raise PickleRefusedError(f"is an archive without {PICKLE_NAME}, which torch.save writes")
    folder = names[0].removesuffix(PICKLE_NAME)
    pickle = entries[names[0]]
    if len(pickle) > MAX_PICKLE:
        raise PickleRefusedError(f"has a {PICKLE_NAME} of {len(pickle)} bytes; allowed are {MAX_PICKLE}")
    if bytes(entries.get(f"{folder}byteorder", b"little")[:8]) != b"little":
        raise PickleRefusedError("was written on a machine that is not little-endian")
    storages = _Storages()
    values = read_pickle(io.BytesIO(pickle), table, storages, budget)
    for key, storage in storages.found.items():
        if (entry := entries.get(f"{folder}data/{key}")) is not None:
            storage.fill(entry)
    return values


def _entries(content: bytes) -> dict[str, memoryview]:
    """The entries of an archive by name, not copied."""
    if content.count(DIRECTORY_ENTRY) > MAX_ENTRIES:  # before a directory is made of them
        raise PickleRefusedError(f"is an archive of more than {MAX_ENTRIES} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            listed = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    except Exception as error:  # what is wrong with a damaged archive shows in any way
        raise PickleRefusedError(f"is damaged: no whole archive ({type(error).__name__})") from None
    if not listed or listed[0].header_offset:
        raise PickleRefusedError("is an archive behind something else")
    entries = dict(_placed(content, listed))
    if len(entries) != len(listed):
        raise PickleRefusedError("is an archive that has an entry twice")
    return entries


def _placed(content: bytes, listed: list[zipfile.ZipInfo]) -> Iterator[tuple[str, memoryview]]:
    whole, free = memoryview(content), 0
    for entry in listed:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise PickleRefusedError("is a compressed archive, which torch.save does not write")
        header = whole[entry.header_offset :][: LOCAL_HEADER.size] if entry.header_offset >= free else b""
        if len(header) != LOCAL_HEADER.size:
            raise PickleRefusedError("is an archive whose entries overlap or lie outside of it")
        signature, name, extra = LOCAL_HEADER.unpack(header)
        first = entry.header_offset + LOCAL_HEADER.size + name + extra
        free = first + entry.file_size
        if signature != ZIP or free > len(content):
            raise PickleRefusedError("is an archive whose entries overlap or lie outside of it")
        yield entry.orig_filename, whole[first:free]


def _read_legacy(content: bytes, table: Table, budget: Budget) -> Any:
    stream = io.BytesIO(content)
    legacy_head(stream, budget)
    storages = _Storages()
    values = read_pickle(stream, table, storages, budget)
    keys = read_pickle(stream, Table(calls={}), None, budget)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise PickleRefusedError("is damaged: the names of its storages are no list")
    for key in keys:
        storage = storages.found.get(key[:100])
        if storage is None or storage.content is not None:
            raise PickleRefusedError("has a storage that no tensor is made of")
        first = legacy_length(stream, storage.count)
        end = first + storage.count * storage.dtype.itemsize
        storage.fill(memoryview(content)[first:end])
        stream.seek(end)
    return values
