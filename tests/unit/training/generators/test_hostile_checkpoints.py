"""Checkpoints that want to run something, or to take all memory: refused by name, and nothing happens."""

import builtins
import codecs
import io
import os
import pickle
import pickletools
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import stylegan2_files as files
from tests.support.stylegan2_reference import random_state
from training.generators.importers.opcodes import MAX_OPCODES, Budget, PickleRefusedError
from training.generators.importers.pickled import read_pickle
from training.generators.importers.stylegan2 import import_stylegan2
from training.generators.importers.stylegan2_ada import ada_table
from training.generators.importers.torch_storages import LegacyStorages

STATE = random_state({4: 4, 8: 4, 16: 4, 32: 4})
GOOD = files.ada_pickle(files.ada_generator(STATE))
GOOD_TORCH = files.torch_file(files.converted_checkpoint(STATE))
GOOD_LEGACY = files.torch_file(files.converted_checkpoint(STATE), archive=False)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands where hostile files want to write; also, nothing may be run by any usual way."""
    monkeypatch.chdir(tmp_path)
    codecs.lookup("cp437")  # of names in archives: Python imports it when it is first asked for

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("code of a checkpoint was run")

    for owner, name in ((os, "system"), (builtins, "exec"), (builtins, "eval"), (subprocess, "Popen")):
        monkeypatch.setattr(owner, name, forbidden)
    return tmp_path / "canary"


def refusal(folder: Path, content: bytes) -> str:
    path = folder / "net.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.pkl: ") as raised:
        import_stylegan2(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600
    return message.removeprefix(f"{path}: ")


TOUCH = "open('canary', 'w').close()"
CALLED: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (os.system, ("touch canary",), "posix.system"),
    (builtins.eval, (TOUCH,), "builtins.eval"),
    (builtins.exec, (TOUCH,), "builtins.exec"),
    (builtins.getattr, ("x", "upper"), "builtins.getattr"),
    (builtins.__import__, ("os",), "builtins.__import__"),
    (builtins.open, ("canary", "w"), "io.open"),
    (subprocess.Popen, (["touch", "canary"],), "subprocess.Popen"),
    (pickle.loads, (b"N.",), "_pickle.loads"),
    (torch.load, ("canary",), "torch.serialization.load"),
    (torch.save, (1, "canary"), "torch.serialization.save"),
    (torch.hub.load, ("a/b", "c"), "torch.hub.load"),
    (torch.jit.load, ("canary",), "torch.jit._serialization.load"),
    (torch.from_file, ("canary", True, 9), "builtins.getattr"),
    (torch._utils._rebuild_device_tensor_from_numpy, (1, 2, 3, 4), "torch._utils._rebuild_device_tensor"),
    (torch._utils._import_dotted_name, ("os.system",), "torch._utils._import_dotted_name"),
]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (files.naming(function, *arguments, protocol=protocol), name if protocol == 4 else "")
        for function, arguments, name in CALLED
        for protocol in (2, 4)
    ],
)
def test_call_of_anything_else_is_refused_by_name(canary: Path, content: bytes, name: str) -> None:
    message = refusal(canary.parent, content)
    assert message.startswith("names '")
    assert name in message
    assert message.endswith("which is not allowed")
    assert not canary.exists()


class Calling:
    """Calls a function when Python's own unpickler reads it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def with_attribute(path: str, **attributes: Any) -> bytes:
    generator = files.ada_generator(STATE)
    for name, value in attributes.items():
        setattr(generator.get_submodule(path), name, value)
    return files.ada_pickle(generator)


HIDDEN = [
    with_attribute("synthesis.b8.conv0", act_gain=Calling(os.system, "touch canary")),
    with_attribute("mapping", _init_kwargs={"a": [{"b": (Calling(os.system, "touch canary"),)}]}),
    files.ada_pickle(files.ada_generator(STATE), augment_pipe=Calling(os.system, "touch canary")),
    files.ada_pickle(files.ada_generator(STATE), D=Calling(os.system, "touch canary")),
]


@pytest.mark.parametrize("content", HIDDEN, ids=["layer", "settings", "augmentation", "discriminator"])
def test_call_hidden_deep_in_a_good_file_is_refused(canary: Path, content: bytes) -> None:
    assert refusal(canary.parent, content) == "names 'posix.system', which is not allowed"
    assert not canary.exists()


def test_source_in_a_file_is_never_looked_at(canary: Path) -> None:
    """Every object of a good file brings source that would end the process; the file is read all the same."""
    assert GOOD.count(b"raise SystemExit") == 1  # pickled once, referred to by all
    path = canary.parent / "net.pkl"
    path.write_bytes(
        GOOD.replace(b"raise SystemExit('the source of", b"open('canary', 'w').close()  # "[:31])
    )
    modules = set(sys.modules)
    assert import_stylegan2(path).architecture.resolution == 32
    assert not canary.exists()
    assert {name.partition(".")[0] for name in set(sys.modules) - modules} <= {"numpy", "torch"}


def hand_made(*pieces: bytes) -> bytes:
    return b"\x80\x04" + b"".join(pieces) + b"."


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (hand_made(b"(", text("touch canary"), b"ios\nsystem\n"), "uses the opcode INST"),
        (hand_made(b"(cos\nsystem\n", text("touch canary"), b"o"), "names 'os.system'"),
        (hand_made(b"(ccollections\nOrderedDict\no"), "uses the opcode OBJ"),
        (hand_made(b"\x82\x01"), "uses the opcode EXT1"),
        (hand_made(b"\x83\x01\x00"), "uses the opcode EXT2"),
        (hand_made(b"\x84\x01\x00\x00\x00"), "uses the opcode EXT4"),
        (hand_made(b"Pid\n"), "uses the opcode PERSID"),
        (hand_made(text("id"), b"Q"), "refers to values outside of it"),
        (hand_made(b"\x97"), "uses the opcode NEXT_BUFFER"),
        (hand_made(b"ccollections\nOrderedDict\n)}\x92"), "uses the opcode NEWOBJ_EX"),
        (hand_made(b"cos\nsystem\n", text("touch canary"), b"\x85\x81"), "names 'os.system'"),
        (hand_made(text("os"), text("system"), b"\x93"), "names 'os.system'"),
        (hand_made(text("torch"), text("_utils.os.system"), b"\x93"), "names 'torch._utils.os.system'"),
        (
            hand_made(text("collections"), text("OrderedDict.__init__.__globals__"), b"\x93"),
            "names 'collections.O",
        ),
        (hand_made(b"K\x01", text("system"), b"\x93"), "is damaged"),
        (hand_made(b"cnumpy\nndarray\n)R"), "calls 'numpy.ndarray', which is not allowed"),
        (hand_made(b"K\x01)R"), "is damaged"),
        (hand_made(b"]}b"), "gives a state to a list"),
        (hand_made(b"c__main__\nx\n"), "names '__main__.x'"),
        (hand_made(b"}](K\x01e", b"K\x01s"), "is damaged"),  # a list for a key
        (hand_made(b"N", b"0" * 2), "is damaged"),
        (hand_made(b"h\x07"), "is damaged"),
        (hand_made(b"NN"), "values are left over"),
        (b"\x80\x04N", "is damaged"),
        (hand_made(b"cdnnlib.tflib.network\nNetwork\n)R"), "file of the TensorFlow version; legacy.py"),
    ],
)
def test_opcodes_that_no_such_file_needs_are_refused(canary: Path, content: bytes, complaint: str) -> None:
    assert complaint in refusal(canary.parent, content)
    assert not canary.exists()


def storage_of(content: bytes) -> bytes:
    """A call for a storage that is these bytes."""
    return hand_made(
        b"ctorch.storage\n_load_from_bytes\n", b"B", struct.pack("<I", len(content)), content, b"\x85R"
    )


def legacy_storage(identity: bytes, length: int, numbers: bytes) -> bytes:
    """As `torch.save` wrote storages before 1.6."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, machine))
    return head + identity + b"\x80\x02]" + text("0") + b"a." + struct.pack("<q", length) + numbers


def identity(count: int, kind: bytes = b"ctorch\nFloatStorage\n", view: bytes = b"N") -> bytes:
    number = b"\x8a\x08" + struct.pack("<q", count)
    return b"\x80\x02(" + text("storage") + kind + text("0") + text("cpu") + number + view + b"tQ."


@pytest.mark.parametrize(
    ("blob", "complaint"),
    [
        (files.naming(os.system, "touch canary"), "names '"),
        (files.torch_file({"a": torch.zeros(1)}), "uses the opcode PERSID"),
        (GOOD_LEGACY, "names 'torch._utils._rebuild_tensor_v2'"),
        (legacy_storage(identity(1, b"cos\nsystem\n"), 1, b"\0" * 4), "names 'os.system'"),
        (legacy_storage(identity(1, view=b"(tq\x01"), 1, b"\0" * 4), "has a storage that is part of another"),
        (legacy_storage(identity(1 << 60), 1 << 60, b"\0" * 4), "has a storage that is part of another"),
        (legacy_storage(identity(1 << 40), 1 << 40, b"\0" * 4), "has a storage that was cut off"),
        (legacy_storage(identity(2), 1, b"\0" * 4), "has a storage of another length than it says"),
        (legacy_storage(identity(-1), -1, b"\0" * 4), "has a storage that is part of another"),
        (legacy_storage(identity(1), 1, b"\0" * 8), "has a storage that was cut off"),
        (legacy_storage(b"\x80\x02" + b"N0" * 300 + b"N.", 1, b""), "has more than 200 opcodes"),
        (b"", "is damaged"),
    ],
)
def test_storages_are_held_to_the_same(canary: Path, blob: bytes, complaint: str) -> None:
    assert complaint in refusal(canary.parent, storage_of(blob))
    assert not canary.exists()


def test_storage_made_by_hand_is_read() -> None:
    blob = legacy_storage(identity(2), 2, struct.pack("<2f", 1.5, -2))
    stored = LegacyStorages(Budget()).load(blob)
    assert bytes(stored.content or b"") == struct.pack("<2f", 1.5, -2)


def tensor_of(shape: tuple[int, ...], stride: tuple[int, ...], offset: int) -> bytes:
    blob = legacy_storage(identity(4), 4, b"\0" * 16)
    sizes = (pickle.dumps(value, 2)[2:-1] for value in (offset, shape, stride))  # without PROTO and STOP
    return hand_made(b"ctorch._utils\n_rebuild_tensor_v2\n(", storage_of(blob)[2:-1], *sizes, b"tR")


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((1 << 40,), (0,), 0),
        ((5,), (1,), 0),
        ((2, 2), (4, 1), 0),
        ((4,), (1,), 1),
        ((4,), (1,), -1),
        ((4,), (-1,), 3),
        ((4,), (), 0),
        ((1 << 70,), (1,), 0),
        ((1,) * 9, (1,) * 9, 0),
        ((-4,), (1,), 0),
    ],
)
def test_tensors_stay_within_their_storage(
    canary: Path, shape: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    assert "has a tensor" in refusal(canary.parent, tensor_of(shape, stride, offset))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (hand_made(pickle.BINUNICODE8 + struct.pack("<Q", 1 << 60) + b"x"), "is damaged"),
        (hand_made(pickle.BINBYTES8 + struct.pack("<Q", 1 << 40) + b"x"), "is damaged"),
        (hand_made(pickle.FRAME + struct.pack("<Q", 1 << 60) + b"N"), "holds no 'G_ema'"),
        (hand_made(b"N" + pickle.LONG_BINPUT + b"\xff\xff\xff\xff"), "holds no 'G_ema'"),
        (hand_made(pickle.LONG4 + b"\xff\xff\xff\x7f"), "is damaged"),
        (hand_made(b"I" + b"9" * 100_000 + b"\n"), "is damaged"),
        (hand_made(b"]" * (MAX_OPCODES + 1)), f"has more than {MAX_OPCODES} opcodes"),
        (hand_made(b")" + b"\x85" * (MAX_OPCODES - 10)), "holds no 'G_ema'"),
        (hand_made(b"}", text("G_ema"), b")", b"\x85" * (MAX_OPCODES - 20), b"s"), "'G_ema' is no network"),
        (hand_made(b"})" + b"\x85" * (MAX_OPCODES - 20) + b"Ns"), "is damaged"),  # its hash would never end
        (
            hand_made(b"ctorch\nSize\n)", b"\x85" * 1000, b"\x85R"),
            "has an impossible shape",
        ),
    ],
)
@pytest.mark.timeout(300)
def test_memory_stays_bounded(canary: Path, content: bytes, complaint: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert complaint in refusal(canary.parent, content)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400 << 10  # KiB


def test_modules_without_end_are_refused(canary: Path) -> None:
    """Few objects that refer to each other many times over: a tree of 100 to the power of 8 modules."""
    generator = files.ada_generator(STATE)
    inner: Any = generator
    for _ in range(8):
        child = files.Persistent("Module")
        for i in range(100):
            inner.add_module(f"more{i}", child)
        inner = child
    content = files.ada_pickle(generator)
    assert len(content) < 100_000
    assert "has more than 1000 modules" in refusal(canary.parent, content)


@pytest.mark.parametrize("name", ["", "again"])
def test_module_within_itself_is_refused(canary: Path, name: str) -> None:
    """Made by hand: the state is put into a record, and then the record into the state."""
    pieces = (
        b"}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
        b"}(" + text("class_name") + text("Generator") + text("state"),
        b"}(" + text("_modules") + b"}q\x01u" + b"u\x85Rq\x02s",  # 1: the modules, 2: the record
        b"h\x01" + text(name) + b"h\x02s0",
    )
    complaint = "has more than 1000 modules" if name else "has a module of the name ''"
    assert complaint in refusal(canary.parent, hand_made(*pieces))


@pytest.mark.parametrize("value", [1 << 100, -(1 << 80), float("nan"), "1", [1.0], None, True])
def test_gains_that_are_no_numbers_are_refused(canary: Path, value: Any) -> None:
    content = with_attribute("mapping.fc0", bias_gain=value)
    assert "mapping.fc0.bias_gain is " in refusal(canary.parent, content)
    assert "mapping.fc1.weight_gain is " in refusal(
        canary.parent, with_attribute("mapping.fc1", weight_gain=value)
    )


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


def shared_storages(times: int) -> bytes:
    """One storage, made again and again out of the same bytes: opcodes for three lists of numbers a time."""
    blob = legacy_storage(identity(1), 1, b"\0" * 4)
    call = b"h\x00h\x01\x85R0"
    head = b"ctorch.storage\n_load_from_bytes\nq\x000B" + struct.pack("<I", len(blob)) + blob + b"q\x010"
    return hand_made(head, call * times, b"N")


def test_storage_that_is_mentioned_often_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle of 0.7 MB that mentioned one storage 90 000 times took minutes."""
    reads = []
    read = LegacyStorages._read

    def counted(self: LegacyStorages, content: bytes) -> Any:
        reads.append(len(content))
        return read(self, content)

    monkeypatch.setattr(LegacyStorages, "_read", counted)
    budget = Budget()
    assert read_pickle(io.BytesIO(shared_storages(90_000)), ada_table(budget), budget=budget) is None
    assert len(reads) == 1


def test_pickles_within_a_pickle_spend_of_the_same_budget() -> None:
    blob = legacy_storage(identity(1), 1, b"\0" * 4)
    one = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(blob)) + blob + b"\x85R0"
    pickled = hand_made(one * 50, b"N")
    outer = sum(1 for _ in pickletools.genops(pickled))
    enough = Budget(outer + 50 * 100)
    assert read_pickle(io.BytesIO(pickled), ada_table(enough), budget=enough) is None
    scarce = Budget(outer + 50)
    with pytest.raises(PickleRefusedError, match=r"has more than .* opcodes"):
        read_pickle(io.BytesIO(pickled), ada_table(scarce), budget=scarce)


@pytest.mark.parametrize(
    "pickled",
    [
        hand_made(b"c__builtin__\nset\nq\x00](", b"K\x01" * 1000, b"eq\x01", b"h\x00h\x01\x85R0" * 500, b"N"),
        hand_made(*[text("x" * 6400) + b"0"] * 5000, b"N"),
    ],
    ids=["sets", "text"],
)
def test_work_that_takes_longer_than_an_opcode_spends_more(pickled: bytes) -> None:
    budget = Budget()
    with pytest.raises(PickleRefusedError, match="has more than 500000 opcodes"):
        read_pickle(io.BytesIO(pickled), ada_table(budget), budget=budget)


def test_module_of_very_many_children_is_refused(canary: Path) -> None:
    """They are no modules, so that counting modules alone would walk through them 1000 times."""
    generator = files.ada_generator(STATE)
    generator.get_submodule("mapping")._modules.update({f"x{i}": None for i in range(1001)})
    assert "has more than 1000 modules" in refusal(canary.parent, files.ada_pickle(generator))


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
