"""Real files with pieces changed, and opcodes in any order: refused or read, and never anything else."""

import io
import pickletools
import resource
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import stylegan2_files as files
from tests.support.hostile_files import GOOD, GOOD_LEGACY, GOOD_TORCH, STATE
from training.generators.importers.opcodes import Budget, PickleRefusedError
from training.generators.importers.pickled import read_pickle
from training.generators.importers.stylegan2 import import_stylegan2
from training.generators.importers.stylegan2_ada import ada_table

REAL = {
    "snapshot": GOOD,
    "archive": GOOD_TORCH,
    "legacy": GOOD_LEGACY,
    "training": files.torch_file(files.training_checkpoint(STATE)),
}


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """A real file with bytes changed, cut out, repeated or put elsewhere, most of them near names."""
    changed = bytearray(good)
    names = [place for place in range(len(good) - 1) if good[place] in b"ctqQRbsu(" and good[place + 1] < 128]
    anywhere = st.integers(0, max(0, len(good) - 1)) | st.sampled_from(names)
    for _ in range(draw(st.integers(0, 6))):
        place, length = draw(anywhere) % max(1, len(changed)), draw(st.integers(0, 300))
        piece = bytes(changed[place : place + length])
        match draw(st.sampled_from(["byte", "cut", "repeat", "move", "number"])):
            case "byte":
                changed[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del changed[place : place + length]
            case "repeat":
                changed[place:place] = piece * draw(st.integers(1, 50))
            case "move":
                del changed[place : place + length]
                there = draw(anywhere) % max(1, len(changed))
                changed[there:there] = piece
            case "number":
                changed[place : place + 4] = struct.pack("<I", draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        del changed[draw(st.integers(0, len(changed))) :]
    return bytes(changed)


@pytest.mark.parametrize("name", list(REAL))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_refused_or_read_but_never_anything_else(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    path = tmp_path / "net"
    path.write_bytes(data.draw(mutated(REAL[name])))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        imported = import_stylegan2(path)
    except ValueError as error:
        told = str(error)
        assert (told.startswith(f"{path}: "), told.isprintable()) == (True, True)
    else:
        assert all(tensor.isfinite().all() for tensor in imported.state.values())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


@settings(max_examples=300, deadline=None)
@given(
    content=st.lists(st.sampled_from([opcode.code for opcode in pickletools.opcodes]), max_size=30),
    argument=st.binary(max_size=20),
)
def test_any_opcodes_are_refused_or_read(content: list[str], argument: bytes) -> None:
    stream = io.BytesIO(b"".join(code.encode("latin-1") + argument for code in content) + b".")
    with suppress(PickleRefusedError):
        read_pickle(stream, ada_table(Budget()))
