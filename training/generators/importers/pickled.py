"""Reads pickles as data: a small machine for the opcodes that build values, and no others.

Python's own unpickler imports what a file names and calls it. This one imports nothing and calls nothing of
a file's choice: what a file names stays a name, and a call of a name is answered by a function of ours if a
table has one. Everything else is refused by name, before anything was built of it.

Memory is bounded by the file's own size: long arguments are bytes alone, which a file holds in full; strings,
numbers and keys are short; values are never copied. Time is bounded by counting: every opcode, those of
pickles within a pickle too, spends of one budget, and none does more than a small amount of work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from training.generators.importers.opcodes import MAX_OPCODES, Budget, PickleRefusedError, opcodes

MAX_KEY = 1000
"""Characters of a key: one that is met again is compared in full."""
MAX_CALL = 16
"""Arguments of a call."""

Call = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Name:
    """What a pickle names, as `module.name`; never looked up in any module."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """What a kind of pickle may name.

    Attributes:
        calls: what it may call: answered by these functions of ours.
        values: what it may name without calling it.
        hints: of names that are refused, what the file probably is.
    """

    calls: Mapping[str, Call]
    values: frozenset[str] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)


class Built:
    """A value that a pickle may give a state; it takes no notice of it unless it overrides this."""

    def build(self, state: object) -> None:
        """Take a state."""


def read_pickle(
    stream: BinaryIO,
    table: Table,
    load: Call | None = None,
    budget: Budget | None = None,
    max_opcodes: int = MAX_OPCODES,
) -> Any:
    """Read one pickle.

    Args:
        stream: in memory, at the pickle's first byte; afterwards at the first one behind it.
        table: what it may name.
        load: answers persistent ids; None refuses them.
        budget: of the file that it is part of; one of its own by default.
        max_opcodes: how many this pickle may have.

    Returns:
        Plain values (numbers, strings, bytes, None, lists, tuples, dicts, sets), `Name`s, what `calls` gave.

    Raises:
        PickleRefusedError: if it is damaged, names or does what the table has not, or is too long.
    """
    budget = budget or Budget()
    machine = _Machine(table, load)
    place = stream.tell()
    try:
        for name, argument in opcodes(stream, _KNOWN, budget, Budget(max_opcodes)):
            machine.run(name, argument)
            place = stream.tell()
        return machine.result()
    except PickleRefusedError:
        raise
    except Exception as error:  # what is wrong with a damaged pickle shows in any way
        raise PickleRefusedError(f"is damaged at byte {place} ({_reason(error)})") from None


def shown(value: object) -> str:
    """A value of a file in a message: short, and never by walking through it."""
    if isinstance(value, str):
        return repr(value[:80])
    return repr(value) if value is None or isinstance(value, (bool, float)) else _number_or_kind(value)


def _number_or_kind(value: object) -> str:
    if isinstance(value, int) and value.bit_length() < 64:
        return str(value)
    return f"a value of type {type(value).__name__}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:80]}"


class _Machine:
    """A stack of values, marks in it, and what was remembered."""

    def __init__(self, table: Table, load: Call | None) -> None:
        self._table, self._load = table, load
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memory: dict[int, Any] = {}

    def run(self, opcode: str, argument: Any) -> None:
        """Do one opcode."""
        if opcode in _WITH_VALUE:
            self._stack.append(argument)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            self._stack.append(_EMPTY[opcode]())
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)

    def result(self) -> Any:
        """What is left when all is done."""
        if self._below or len(self._stack) != 1:
            raise PickleRefusedError("is damaged: values are left over at its end")
        return self._stack[0]

    def mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._below.pop()
        return values

    def pop_mark(self, _: Any) -> None:
        self.since_mark()

    def pop(self, _: Any) -> None:
        self._stack.pop()

    def duplicate(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def tuple_of(self, count: int) -> None:
        values = tuple(self._stack.pop() for _ in range(count))[::-1]
        self._stack.append(values)

    def list_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self._stack.append(values)

    def tuple_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self._stack.append(tuple(values))

    def dict_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self._stack.append({})
        self._put_items(values)

    def frozenset_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self._stack.append(frozenset(_key(value) for value in values))

    def append(self, _: Any) -> None:
        value = self._stack.pop()
        _of(list, self._stack[-1]).append(value)

    def extend(self, _: Any) -> None:
        values = self.since_mark()
        _of(list, self._stack[-1]).extend(values)

    def add(self, _: Any) -> None:
        values = self.since_mark()
        _of(set, self._stack[-1]).update(_key(value) for value in values)

    def put_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._put_items([key, value])

    def put_items(self, _: Any) -> None:
        self._put_items(self.since_mark())

    def _put_items(self, values: list[Any]) -> None:
        target = _of(dict, self._stack[-1])
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    def remember(self, place: int) -> None:
        self._memory[place] = self._stack[-1]

    def remember_next(self, _: Any) -> None:
        self._memory[len(self._memory)] = self._stack[-1]

    def recall(self, place: int) -> None:
        self._stack.append(self._memory[place])

    def name(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self._name(module, name)

    def name_on_stack(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(_of(str, module), _of(str, name))

    def _name(self, module: str, name: str) -> None:
        text = f"{module}.{name}"
        if text not in self._table.calls and text not in self._table.values:
            hint = self._table.hints.get(text)
            raise PickleRefusedError(
                f"names {shown(text)}, which is not allowed{f': {hint}' if hint else ''}"
            )
        self._stack.append(Name(text))

    def call(self, _: Any) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        name = _of(Name, called).text
        if name not in self._table.calls:
            raise PickleRefusedError(f"calls {name!r}, which is not allowed")
        if len(_of(tuple, arguments)) > MAX_CALL:
            raise PickleRefusedError(
                f"calls {name!r} with {len(arguments)} arguments, allowed are {MAX_CALL}"
            )
        self._stack.append(self._table.calls[name](*arguments))

    def build(self, _: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Built):
            target.build(state)
        elif type(target) is not dict:  # a subclass's own attributes: of no interest
            raise PickleRefusedError(f"gives a state to a {type(target).__name__}")

    def persistent(self, _: Any) -> None:
        if self._load is None:
            raise PickleRefusedError("refers to values outside of it")
        self._stack.append(self._load(self._stack.pop()))


def _of(wanted: type, value: Any) -> Any:
    if type(value) is not wanted:
        raise TypeError(f"{wanted.__name__} expected, found {type(value).__name__}")
    return value


def _key(value: Any) -> Any:
    """Keys of dicts and members of sets: nothing whose hash or comparison takes long."""
    if not isinstance(value, (str, int)):
        raise TypeError(f"string or integer expected as key, found {type(value).__name__}")
    if isinstance(value, str) and len(value) > MAX_KEY:
        raise ValueError(f"a key of {len(value)} characters, allowed are {MAX_KEY}")
    return value


_WITHOUT_EFFECT = {"PROTO", "FRAME", "STOP"}
_WITH_VALUE = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": _Machine.tuple_since_mark,
    "LIST": _Machine.list_since_mark,
    "DICT": _Machine.dict_since_mark,
    "FROZENSET": _Machine.frozenset_since_mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "ADDITEMS": _Machine.add,
    "SETITEM": _Machine.put_item,
    "SETITEMS": _Machine.put_items,
    "PUT": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember_next,
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
_KNOWN = _WITHOUT_EFFECT | _WITH_VALUE | _CONSTANTS.keys() | _EMPTY.keys() | _STEPS.keys()
