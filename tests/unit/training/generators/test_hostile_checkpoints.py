"""Checkpoints that want to run something, or to take all memory or time: refused by name, nothing happens."""

import builtins
import io
import os
import pickle
import pickletools
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import stylegan2_files as files
from tests.support.hostile_files import (
    GOOD,
    GOOD_LEGACY,
    STATE,
    Calling,
    hand_made,
    identity,
    legacy_storage,
    refusal,
    text,
)
from training.generators.importers.opcodes import MAX_OPCODES, Budget, PickleRefusedError
from training.generators.importers.pickled import read_pickle
from training.generators.importers.stylegan2 import import_stylegan2
from training.generators.importers.stylegan2_ada import ada_table
from training.generators.importers.torch_storages import LegacyStorages

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
