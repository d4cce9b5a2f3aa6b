"""The opcodes of a pickle one by one, none longer than allowed and no more than a budget has.

Python's `pickletools` knows how an opcode's argument is written; here it reads from a stream that gives only
so much at once. Long arguments are bytes alone, which take no more memory than in the file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Container, Iterator
from typing import Any, BinaryIO, cast

MAX_OPCODES = 500_000
"""A generator of 1024 px with its discriminator takes some ten thousand."""
MAX_ARGUMENT = 1 << 20
"""Bytes of an opcode's string or number. The longest is the source text that a file brings along."""
TEXT = 64
"""Characters of a string that count as much as an opcode."""
MAX_NUMBER = 128
"""Bits of an integer: one that is large takes long to do anything with."""
CODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
LONG = frozenset({"BINBYTES", "BINBYTES8"})
"""Opcodes whose arguments may be as long as the file is."""


class PickleRefusedError(ValueError):
    """A pickle is damaged, or wants more than to be read."""


class Budget:
    """What the pickles of one file may still do.

    Args:
        opcodes: how many they may have, together.
    """

    def __init__(self, opcodes: int = MAX_OPCODES) -> None:
        self._all = self._left = opcodes

    def spend(self, count: int = 1) -> None:
        """Take so many opcodes, or work that is worth as much.

        Raises:
            PickleRefusedError: if there are no more.
        """
        self._left -= count
        if self._left < 0:
            raise PickleRefusedError(f"has more than {self._all} opcodes")


def opcodes(
    stream: BinaryIO, known: Container[str], budget: Budget, own: Budget
) -> Iterator[tuple[str, Any]]:
    """Name and argument of each of a pickle's opcodes; the last is STOP.

    Args:
        stream: at the pickle's first byte; afterwards at the first one behind it.
        known: opcodes that are allowed.
        budget: of the file.
        own: of this pickle.

    Raises:
        PickleRefusedError: if an opcode is not allowed or a budget is used up.
        Exception: of any kind, if the pickle is damaged or an argument too long.
    """
    arguments = _Arguments(stream)
    name = ""
    while name != "STOP":
        budget.spend()
        own.spend()
        code = stream.read(1)
        if code not in CODES:
            raise ValueError(f"byte {code!r} is no opcode" if code else "the file ends here")
        opcode = CODES[code]
        name = opcode.name
        if name not in known:
            raise PickleRefusedError(f"uses the opcode {name}, which no such file needs")
        arguments.unbounded = name in LONG
        argument = None if opcode.arg is None else opcode.arg.reader(cast(BinaryIO, arguments))
        yield name, _checked(argument, budget)


def _checked(argument: Any, budget: Budget) -> Any:
    if isinstance(argument, int) and argument.bit_length() > MAX_NUMBER:
        raise ValueError(f"a number of {argument.bit_length()} bits, allowed are {MAX_NUMBER}")
    if isinstance(argument, str):  # takes up to four times the memory that it has in the file
        budget.spend(len(argument) // TEXT)
    return argument


class _Arguments:
    """What the readers of opcodes' arguments read from: no more at once than allowed, nor than is there."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.unbounded = False

    def read(self, size: int) -> bytes:
        if size > MAX_ARGUMENT and not self.unbounded:
            raise ValueError(f"an argument of {size} bytes, allowed are {MAX_ARGUMENT}")
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline(MAX_ARGUMENT + 1)
        if len(line) > MAX_ARGUMENT:
            raise ValueError(f"a line of more than {MAX_ARGUMENT} bytes")
        return line
