"""Checks manifests against schemas, in .venv/helm: reads `{name: manifests}` as JSON and prints problems.

Kubernetes' own kinds go through kubernetes-validate, strictly. Custom resources go through the models of
cloudcoil, which ignore fields that they do not know, so those are looked for here. A kind without either is a
problem too.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as monitoring
from pydantic import BaseModel, ValidationError

KUBERNETES = "1.37.0"
MODELS: dict[tuple[str, str], type[BaseModel]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): monitoring.ServiceMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): monitoring.PrometheusRule,
}
GRPC_ROUTE = ("gateway.networking.k8s.io/v1", "GRPCRoute")

# What the models are too old for. keda.sh, Fallback: from 2.17 on.
NEWER = {"ScaledObject.spec.fallback.behavior"}


# It reads the file of all definitions, megabytes of it, for every manifest.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def problems(manifest: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a manifest, one line each."""
    key = (manifest.get("apiVersion", ""), manifest.get("kind", ""))
    if key == GRPC_ROUTE:
        schema = json.loads((Path(__file__).parent / "grpcroute.schema.json").read_text())
        for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
            yield f"{error.json_path}: {error.message}"
    elif key in MODELS:
        try:
            MODELS[key].model_validate(manifest)
        except ValidationError as error:
            yield from (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        yield from (
            f"{path}: no such field" for path in unknown(manifest, MODELS[key], key[1]) if path not in NEWER
        )
    else:
        try:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


def unknown(value: Any, annotation: Any, path: str) -> Iterator[str]:
    """Paths of fields that a model does not have."""
    if isinstance(value, list):
        for each in value:
            yield from unknown(each, annotation, path)
    if not isinstance(value, dict) or (model := _model(annotation)) is None:
        return
    fields = {(field.alias or name): field.annotation for name, field in model.model_fields.items()}
    for name, each in value.items():
        if name not in fields:
            yield f"{path}.{name}"
        else:
            yield from unknown(each, fields[name], f"{path}.{name}")


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation, be it optional or of a list; None for a mapping or a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if getattr(annotation, "__origin__", None) is dict:
        return None
    return next((found for each in get_args(annotation) if (found := _model(each)) is not None), None)


def main() -> None:
    """Print `{name: [problem, ...]}` of those that have any."""
    texts: dict[str, list[dict[str, Any]]] = json.load(sys.stdin)
    found = {
        name: [
            f"{each.get('kind')} {each.get('metadata', {}).get('name')}: {line}"
            for each in manifests
            for line in problems(each)
        ]
        for name, manifests in texts.items()
    }
    print(json.dumps({name: lines for name, lines in found.items() if lines}))


if __name__ == "__main__":
    main()
