"""What `values.yaml` of the chart says of itself: the schema and the table made from its comments.

A comment `# -- ...` above a key describes it; `# @schema {...}` is merged into what its default tells of its
type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from service.cli import serve

CHART = Path(__file__).parents[2] / "helm" / "maskweave"
VALUES = CHART / "values.yaml"

CHARTS_OWN = frozenset(
    {
        "config", "grpc_host", "grpc_port", "http_host", "http_port", "tls_certificate", "tls_key",
        "tls_client_ca", "allow_plaintext", "api_keys_file", "c2pa_certificate", "c2pa_key", "engine",
        "triton_url", "model_repository", "only_check",
    }
)  # fmt: skip
"""Options of `maskweave serve` that the chart decides itself."""

_TYPES = {
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:str": "string",
    "tag:yaml.org,2002:seq": "array",
}
_KUBERNETES = re.compile(r"#/\$defs/(io\.k8s\.[A-Za-z0-9.]+)")


class UndocumentedValueError(ValueError):
    """A key of values.yaml without a description."""


@dataclass(frozen=True, slots=True)
class Value:
    """A key of values.yaml.

    Attributes:
        path: Its names from the top.
        description: What it is for; empty for one that only holds others.
        default: As JSON; empty for one that only holds others.
        schema: What is allowed, besides the keys that it holds.
        keys: What it holds.
    """

    path: tuple[str, ...]
    description: str
    default: str
    schema: Mapping[str, Any]
    keys: tuple[Value, ...] = field(default=())

    def all(self) -> Iterator[Value]:
        """It, if it is no mere holder of others, and all below."""
        if not self.keys:
            yield self
        for key in self.keys:
            yield from key.all()


def read_values() -> tuple[Value, ...]:
    """The keys of values.yaml, with their comments.

    Raises:
        UndocumentedValueError: One has no description.
    """
    text = VALUES.read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _keys(root, (), text.splitlines())


def _keys(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> tuple[Value, ...]:
    """Keys of a mapping; what is merged into it comes first, and what it says itself wins."""
    found: dict[str, Value] = {}
    for key, value in node.value:
        if key.value == "<<":
            found |= {each.path[-1]: each for each in _keys(value, path, lines)}
        else:
            found[key.value] = _value(key, value, (*path, key.value), lines)
    return tuple(found.values())


def _value(key: yaml.ScalarNode, value: yaml.Node, path: tuple[str, ...], lines: list[str]) -> Value:
    description, schema = _comments(lines, key.start_mark.line)
    if isinstance(value, yaml.MappingNode) and not description:
        return Value(path, "", "", {}, _keys(value, path, lines))
    if not description:
        raise UndocumentedValueError(f"{'.'.join(path)} in values.yaml has no comment `# -- ...`")
    default = yaml.SafeLoader("")
    content = default.construct_document(value)
    if "$ref" not in schema and "type" not in schema:
        if (kind := _TYPES.get(value.tag)) is None:
            raise UndocumentedValueError(f"{'.'.join(path)} in values.yaml needs a `# @schema`")
        schema = {"type": kind, **schema}
    return Value(path, description, json.dumps(content), schema)


def _comments(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    """The description and the schema above a line."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    comment = [each.lstrip().removeprefix("#").strip() for each in lines[first:line]]
    schema: dict[str, Any] = next(
        (json.loads(each.removeprefix("@schema ")) for each in comment if each.startswith("@schema")), {}
    )
    starts = [number for number, each in enumerate(comment) if each.startswith("-- ")]
    if not starts:
        return "", schema
    words = [each for each in comment[starts[-1] :] if not each.startswith("@schema")]
    return " ".join(words).removeprefix("-- "), schema


def schema(kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    """values.schema.json: every key described, no other allowed.

    Args:
        kubernetes: Kubernetes' own strict definitions by name.
    """
    values = read_values()
    properties = {value.path[-1]: _property(value) for value in values}
    # Sections that others repeat in part, the canary and pools.
    definitions: dict[str, Any] = {
        name: properties.pop(name) for name in ("gateway", "modelRepository", "triton")
    }
    properties |= {name: {"$ref": f"#/$defs/{name}"} for name in definitions}
    properties["global"] = {"type": "object", "description": "Values that Helm shares between charts."}
    definitions |= {
        "texts": {"type": "object", "additionalProperties": {"type": "string"}},
        "settings": _settings(),
        "overrides": _object(
            {name: {"$ref": f"#/$defs/{name}"} for name in ("gateway", "modelRepository", "triton")},
            "Values that take the place of the stable version's.",
        ),
        "pool": _object(
            {
                "name": {
                    "type": "string",
                    "pattern": "^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$",
                    "description": "Name of the pool, a part of the names of its objects.",
                },
                "overrides": {"$ref": "#/$defs/triton"},
            },
            "A pool of Triton servers.",
        )
        | {"required": ["name"]},
        "parentRef": _object(
            {
                name: {"type": "string", "description": f"The parent's {name}."}
                for name in ("group", "kind", "name", "namespace", "sectionName")
            }
            | {"port": {"type": "integer", "description": "The parent's port."}},
            "A Gateway, as in GRPCRoute.",
        )
        | {"required": ["name"]},
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart maskweave",
        **_object(properties, "Made from the comments of values.yaml by `make chart`."),
        "$defs": definitions,
    }
    definitions |= _closure(whole, kubernetes)
    return whole


def _object(properties: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
    }


def _property(value: Value) -> dict[str, Any]:
    if value.keys:
        return _object(
            {key.path[-1]: _property(key) for key in value.keys}, f"Section {'.'.join(value.path)}."
        )
    return {**value.schema, "description": value.description}


def settings() -> tuple[tuple[str, str], ...]:
    """Settings of `maskweave serve` that values may have, each with its help."""
    return tuple(
        (str(option.name), str(getattr(option, "help", "")).partition(" [MASKWEAVE_")[0])
        for option in serve.params
        if option.name not in CHARTS_OWN
    )


def _settings() -> dict[str, Any]:
    model: Any = vars(__import__("service.cli", fromlist=["Settings"]))["Settings"]
    told = model.model_json_schema()["properties"]
    allowed = {"type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    return _object(
        {
            name: {key: told[name][key] for key in sorted(told[name].keys() & allowed)}
            | {"description": text}
            for name, text in settings()
        },
        "Settings of `maskweave serve`.",
    )


def _closure(schema_: Any, kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    """What of Kubernetes' definitions is referred to, without their descriptions."""
    found: dict[str, Any] = {}
    wanted = set(_KUBERNETES.findall(json.dumps(schema_)))
    while wanted:
        name = wanted.pop()
        text = json.dumps(_undescribed(kubernetes[name])).replace(
            "_definitions.json#/definitions/", "#/$defs/"
        )
        text = text.replace('"#/definitions/', '"#/$defs/')
        found[name] = json.loads(text)
        wanted |= set(_KUBERNETES.findall(text)) - found.keys()
    return dict(sorted(found.items()))


def _undescribed(node: Any, *, properties: bool = False) -> Any:
    """A definition without texts; a property may well be called `description`."""
    if isinstance(node, dict):
        return {
            key: _undescribed(value, properties=key == "properties")
            for key, value in node.items()
            if properties or not (key == "description" or key.startswith("x-kubernetes"))
        }
    if isinstance(node, list):
        return [_undescribed(each) for each in node]
    return node


def readme() -> str:
    """README.md of the chart: what it is, and the table of values."""
    rows = []
    for value in (each for top in read_values() for each in top.all()):
        kind = value.schema.get("type", value.schema.get("$ref", "object").rpartition("/")[2])
        allowed = ", ".join(f"`{each}`" if each else '""' for each in value.schema.get("enum", ()))
        description = value.description + (f" One of {allowed}." if allowed else "")
        shown = kind if isinstance(kind, str) else " or ".join(cast("list[str]", kind))
        shown = "map" if shown == "texts" else shown.rpartition(".")[2]
        cells = (f"`{'.'.join(value.path)}`", shown, f"`{value.default}`", description.replace("|", r"\|"))
        rows.append(f"| {' | '.join(cells)} |")
    head = (CHART / "README.head.md").read_text()
    table = "\n".join(["| value | type | default | |", "|---|---|---|---|", *rows])
    source = "Made from the comments of [values.yaml](values.yaml) by `make chart`; a test compares."
    return f"{head}\n## Values\n{source}\n\n{table}\n"
