"""Files of `torch.save` that want to run something, to take all memory, or to seem what they are not."""

import io
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support import stylegan2_files as files
from tests.support.hostile_files import GOOD_TORCH, STATE, Calling, hand_made, refusal, text
from tests.support.stylegan2_reference import random_state
from training.generators.importers.stylegan2 import import_stylegan2


@pytest.mark.parametrize("archive", [True, False])
def test_code_in_a_torch_checkpoint_is_refused(canary: Path, archive: bool) -> None:
    checkpoint = files.converted_checkpoint(STATE) | {"args": Calling(torch.hub.load, "a/b", "c")}
    message = refusal(canary.parent, files.torch_file(checkpoint, archive=archive))
    assert message == "names 'torch.hub.load', which is not allowed"
    assert not canary.exists()


def archive_of(pickled: bytes, **others: bytes) -> bytes:
    """A file of `torch.save` with this pickle in the place of its own, and entries beside it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr("archive/data.pkl", pickled)
        for name, content in others.items():
            target.writestr(f"archive/{name}", content)
    return packed.getvalue()


NESTED = b")" + b"\x85" * 1000
"""A tuple in a tuple in a tuple: its hash, comparison and text know no end."""


DOUBLED = b")" + b"2\x86" * 40
"""A tuple of 2^40 places: whoever walks through it never comes back."""


@pytest.mark.parametrize(
    ("pickled", "complaint"),
    [
        (hand_made(b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R"), "names 'builtins.bytearray'"),
        (hand_made(b"c__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x01\x85R"), "names '__builtin__.bytearray'"),
        (hand_made(b"}", DOUBLED, b"Ns"), "is damaged"),
        (hand_made(b"}", text("g_ema"), b"}", DOUBLED, b"Nss"), "is damaged"),
        (
            hand_made(b"}", text("g_ema"), b"}", text("style.1.weight"), DOUBLED, b"ss"),
            "a value of type tuple",
        ),
        (hand_made(DOUBLED), "holds no 'g_ema'"),
        (hand_made(b"c__builtin__\nset\n](", NESTED, b"e\x85R"), "holds no 'g_ema'"),
        (hand_made(b"ccollections\nOrderedDict\n(", b"N" * 17, b"tR"), "with 17 arguments, allowed are 16"),
        (hand_made(text("x" * 1001), b"0}", text("x" * 1001), b"Ns"), "a key of 1001 characters"),
        (hand_made(b"\x8b", struct.pack("<I", 20), b"\x01" * 20), "a number of 153 bits, allowed are 128"),
        (hand_made(b"X", struct.pack("<I", 2 << 20), b"x" * (2 << 20)), "an argument of 2097152 bytes"),
        (hand_made(b"I", b"1" * (2 << 20), b"\n"), "a line of more than 1048576 bytes"),
        (hand_made(b"c_codecs\nencode\n", text("x" * 65), text("latin1"), b"\x86R"), "holds no 'g_ema'"),
        (hand_made(b"c_codecs\nencode\n", text("x"), text("zip"), b"\x86R"), "in another coding than latin1"),
        (hand_made(b"c__torch__\nNet\n)R"), "names '__torch__.Net'"),
        (
            hand_made(b"ctorch._utils\n_rebuild_nested_tensor\n)R"),
            "names 'torch._utils._rebuild_nested_tensor'",
        ),
        (hand_made(text("x"), text("\x1b[31mred\x07"), b"\x93"), r"names 'x.\x1b[31mred\x07'"),
    ],
)
def test_bombs_in_archives_are_refused_and_take_nothing(canary: Path, pickled: bytes, complaint: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert complaint in refusal(canary.parent, archive_of(pickled))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << 10  # KiB


def test_messages_hold_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    path = tmp_path / "red\x1b[31m\nnet\u202e.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="is no checkpoint") as raised:
        import_stylegan2(path)
    assert str(raised.value).isprintable()
    assert r"red\x1b[31m\nnet\u202e.pt" in str(raised.value)


def two_directories() -> bytes:
    """A harmless archive, and behind it another, compressed one: readers differ in which they see."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("archive/data.pkl", b"x" * 10_000_000)
    return GOOD_TORCH + packed.getvalue()


def overlapping() -> bytes:
    """Every entry of the directory is the same place of the file."""
    content = archive_of(b"\x80\x04N.", **{f"data/{i}": b"x" * 1000 for i in range(9)})
    end = content.rindex(b"PK\x05\x06")
    (first,) = struct.unpack_from("<I", content, end + 16)
    changed, place = bytearray(content), first
    while place < end:
        name, extra, comment = struct.unpack_from("<HHH", content, place + 28)
        struct.pack_into("<I", changed, place + 42, 0)
        place += 46 + name + extra + comment
    return bytes(changed)


def claiming(field: int, value: int) -> bytes:
    """An archive whose first directory entry holds another number."""
    content = bytearray(archive_of(b"\x80\x04N."))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + field, value)
    return bytes(content)


def twice() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr("archive/data.pkl", b"\x80\x04N.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            target.writestr("archive/data.pkl", b"\x80\x04N.")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (two_directories, "is an archive behind something else"),
        (overlapping, "is an archive whose entries overlap"),
        (lambda: claiming(24, 1 << 31), "is a compressed archive"),  # its size, but for the packed one
        (lambda: claiming(42, 1 << 20), "is an archive behind something else"),  # its place
        (twice, "is an archive that has an entry twice"),
        (lambda: archive_of(b"") + b"PK\x01\x02" * 20_001, "is an archive of more than 20000 entries"),
        (lambda: archive_of(b"\x80\x04N.", byteorder=b"big"), "is not little-endian"),
        (
            lambda: archive_of(b"\x80\x04N.").replace(b"data.pkl", b"data.xyz"),
            "is an archive without data.pkl",
        ),
        (lambda: GOOD_TORCH[: len(GOOD_TORCH) // 2], "is damaged: no whole archive"),
    ],
)
def test_archives_that_are_not_what_they_seem_are_refused(
    tmp_path: Path, make: Callable[[], bytes], complaint: str
) -> None:
    assert complaint in refusal(tmp_path, make())


def test_tensors_that_share_their_numbers_do_not_grow(canary: Path) -> None:
    """All layers of a generator may be one: then the file is a hundredth of what it seems to hold."""
    state = random_state({4: 64, 8: 64, 16: 64, 32: 64})
    shared = torch.zeros(64 * 64 * 9 + 64)
    thin = {
        name: shared[: tensor.numel()].view(tensor.shape) if tensor.numel() <= len(shared) else tensor
        for name, tensor in files.rosinality_state(state).items()
        if not name.endswith("kernel")
    }
    content = files.torch_file({"g_ema": thin})
    assert "has tensors that share their numbers" in refusal(canary.parent, content)


def test_compressed_archive_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(GOOD_TORCH)) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert "is a compressed archive" in refusal(tmp_path, packed.getvalue())
