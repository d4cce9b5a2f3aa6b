"""The page of the contract: every method, message, field and enum of the proto, with its comment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

FILE = "maskweave/v1/synthesis.proto"
_PACKAGE = ".maskweave.v1."

# Numbers of the fields in descriptor.proto, of which paths to comments are made.
_PACKAGE_PATH = (2,)
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _ONEOFS, _NESTED, _NESTED_ENUMS, _VALUES, _METHODS = 2, 8, 3, 4, 2, 2


def contract_page(proto: Path) -> str:
    """The page, in Markdown.

    Args:
        proto: The folder of the contract, for buf.

    Raises:
        subprocess.CalledProcessError: The contract cannot be read; buf has said why.
    """
    beside = Path(sys.executable).with_name("buf")
    buf = str(beside) if beside.exists() else shutil.which("buf") or "buf"
    built = subprocess.run(
        [buf, "build", "-o", "-#format=binpb"], cwd=proto, stdout=subprocess.PIPE, check=True
    )
    (file,) = (each for each in FileDescriptorSet.FromString(built.stdout).file if each.name == FILE)
    return "\n".join(_Page(file).lines()) + "\n"


class _Page:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(place.path): (place.leading_comments or place.trailing_comments).strip("\n")
            for place in file.source_code_info.location
        }
        self._syntax = next(
            (
                place.leading_comments or "\n".join(place.leading_detached_comments)
                for place in file.source_code_info.location
                if tuple(place.path) == _PACKAGE_PATH
            ),
            "",
        )

    def lines(self) -> Iterator[str]:
        yield "# API reference"
        yield ""
        yield (
            "Every method, message, field and enum of `maskweave.v1`, the API of the service over gRPC, "
            "Connect and gRPC-Web. What calls fail with: [errors](../errors.md). Over HTTP: "
            "[browsers and curl](../web.md). "
            f"Made of [{FILE}](../../proto/{FILE}) and its comments when this site is built."
        )
        yield ""
        yield _paragraphs(self._syntax)
        yield ""
        for number, service in enumerate(self._file.service):
            path: tuple[int, ...] = (_SERVICES, number)
            yield f"## {service.name}\n\n{self._about(path)}\n"
            yield "| method | what it does |\n|---|---|"
            for position, method in enumerate(service.method):
                first, *_ = re.split(r"\.(?= |<br>|$)", _cell([self._about((*path, _METHODS, position))]))
                yield f"| [{method.name}](#{method.name.lower()}) | {first}. |"
            yield ""
            for position, method in enumerate(service.method):
                yield f"### {method.name}\n"
                asked = "stream of " * method.client_streaming + _link(method.input_type)
                given = "stream of " * method.server_streaming + _link(method.output_type)
                yield f"{asked} → {given}\n\n{self._about((*path, _METHODS, position))}\n"
        yield "## Messages\n"
        for number, message in enumerate(self._file.message_type):
            yield from self._message(message, (_MESSAGES, number), "")
        yield "## Enums\n"
        for number, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, (_ENUMS, number), "")

    def _message(self, message: DescriptorProto, path: tuple[int, ...], within: str) -> Iterator[str]:
        if message.options.map_entry:
            return
        name = within + message.name
        yield f"### {name}\n\n{self._about(path)}\n"
        if message.field:
            yield "| field | type | |\n|---|---|---|"
        for number, field in enumerate(message.field):
            about = [self._about((*path, _FIELDS, number))]
            if field.HasField("oneof_index") and not field.proto3_optional:
                about.insert(0, f"One of `{message.oneof_decl[field.oneof_index].name}`.")
            if field.options.deprecated:
                about.insert(0, "Deprecated.")
            yield f"| `{field.name}` = {field.number} | {self._type(field, message)} | {_cell(about)} |"
        yield ""
        for number, oneof in enumerate(message.oneof_decl):
            if comment := self._comments.get((*path, _ONEOFS, number)):
                yield f"`{oneof.name}`: {_paragraphs(comment)}\n"
        for number, nested in enumerate(message.nested_type):
            yield from self._message(nested, (*path, _NESTED, number), f"{name}.")
        for number, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*path, _NESTED_ENUMS, number), f"{name}.")

    def _enum(self, enum: EnumDescriptorProto, path: tuple[int, ...], within: str) -> Iterator[str]:
        yield f"### {within}{enum.name}\n\n{self._about(path)}\n\n| value | |\n|---|---|"
        for number, value in enumerate(enum.value):
            yield f"| `{value.name}` = {value.number} | {_cell([self._about((*path, _VALUES, number))])} |"
        yield ""

    def _about(self, path: tuple[int, ...]) -> str:
        return _paragraphs(self._comments.get(path, ""))

    def _type(self, field: FieldDescriptorProto, message: DescriptorProto) -> str:
        for nested in message.nested_type:
            if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
                key, value = (self._type(each, message) for each in nested.field)
                return f"map of {key} to {value}"
        kind = (
            _link(field.type_name)
            if field.type_name
            else FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        )
        repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        return "repeated " * repeated + "optional " * field.proto3_optional + kind


def _link(type_name: str) -> str:
    if not type_name.startswith(_PACKAGE):
        return f"`{type_name.removeprefix('.')}`"
    name = type_name.removeprefix(_PACKAGE)
    return f"[{name}](#{name.replace('.', '').lower()})"


def _paragraphs(comment: str) -> str:
    """A comment as Markdown: its lines joined, its lists kept, pages linked."""
    text = "\n".join(line.removeprefix(" ") for line in comment.split("\n"))
    text = re.sub(r"\n(?=- )", "\n\n", text, count=1)
    return re.sub(r"(?<![`(\[/])docs/(\w+\.md)", r"[docs/\1](../\1)", text)


def _cell(parts: Sequence[str]) -> str:
    text = " ".join(part for part in parts if part).replace("|", "\\|")
    text = re.sub(r"\n\n(?=- )|\n(?=- )", "<br>", text)
    return re.sub(r"\s*\n\n\s*", "<br><br>", text).replace("\n", " ")
