"""The options that are handed to gRPC, and those that it knows: it ignores all others silently."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path

# Not the names of gRPC's own loggers and modules, which begin with an underscore.
_OPTION = re.compile(r"grpc\.(?!_)[a-z0-9_.]+")


def option_names(directory: Path) -> dict[str, set[str]]:
    """Every string in a directory's Python files that has the form of an option, with the files it is in."""
    found: dict[str, set[str]] = {}
    for file in sorted(directory.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and _OPTION.fullmatch(node.value)
            ):
                found.setdefault(node.value, set()).add(file.name)
    return found


def unknown_options(names: Iterable[str]) -> list[str]:
    """Those of the names that the installed gRPC library does not have."""
    # In C, a string ends with a zero byte: the start of a longer name does not count.
    return sorted(name for name in names if f"{name}\0".encode() not in _library())


@cache
def _library() -> bytes:
    return Path(str(import_module("grpc._cython.cygrpc").__file__)).read_bytes()
