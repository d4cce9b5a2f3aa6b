"""What a Triton server holds, as this service's engines describe models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tritonclient.grpc import aio, model_config_pb2
from tritonclient.utils import InferenceServerException

from service.core.diagnostics import Diagnostics
from service.engine.base import ModelInfo, TensorSpec
from service.engine.tensors import DTYPES

_READY = "READY"
_OFFERED = ("maskweave.pack", "maskweave.edits", "maskweave.reads_labels")
"""Parameters of what the gateway calls: what offers a pack, edits its images, reads label maps off them."""
_BESIDE = ("maskweave.style_encoder", "maskweave.style_prior")
"""Parameters that name a model which the gateway calls beside the one that offers a pack."""


QUESTION_SECONDS = 5.0
"""How long a question may take: a server whose cores are all at work is slow, one that hangs is given up."""


async def inspect_models(
    client: aio.InferenceServerClient, url: str, names: Sequence[str]
) -> tuple[dict[str, ModelInfo], Diagnostics]:
    """Describe the models that offer a pack or do something for it, and the steps they are made of.

    Args:
        client: Of the server.
        url: Of the server, for messages.
        names: The models to look at; empty for all whose config has a parameter of `_OFFERED`.

    Returns:
        The models that are ready, by name; and what is wrong: a model is missing, not ready, or has tensors
        that this service does not know.

    Raises:
        InferenceServerException: The server does not answer.
    """
    inspection = _Inspection(client, url)
    await inspection.run(names)
    return inspection.found, inspection.diagnostics


def differences(expected: Mapping[str, ModelInfo], found: Mapping[str, ModelInfo]) -> dict[str, str]:
    """How the models found on a server are not those expected, by name; those not found are left out."""
    lines = {name: f"model {name!r} is new" for name in sorted(found.keys() - expected.keys())}
    for name in sorted(expected.keys() & found.keys()):
        before, now = expected[name], found[name]
        fields = [field for field in _COMPARED if getattr(before, field) != getattr(now, field)]
        if fields:
            lines[name] = f"model {name!r} has other {', '.join(fields)}"
    return lines


_COMPARED = ("version", "max_batch_size", "inputs", "outputs", "parameters", "steps")


class _Inspection:
    def __init__(self, client: aio.InferenceServerClient, url: str) -> None:
        self._client = client
        self._url = url
        self.diagnostics = Diagnostics()
        self.found: dict[str, ModelInfo] = {}

    async def run(self, names: Sequence[str]) -> None:
        index = await self._index()
        configs = {
            config.name: config
            for config in await asyncio.gather(
                *(self._config(name) for name, state in sorted(index.items()) if state == _READY)
            )
        }
        offered = names or [
            name for name, config in configs.items() if any(key in config.parameters for key in _OFFERED)
        ]
        wanted = dict.fromkeys(offered)
        for name in _with_steps(wanted, configs):
            if name in configs:
                await self._describe(configs[name])
            else:
                state = index.get(name)
                problem = "there is no such model" if state is None else f"is {state}"
                allowed = f"a model that is {_READY}: {', '.join(configs) or 'there is none'}"
                self.diagnostics.add(self._file(name), "", problem, allowed)

    async def _index(self) -> dict[str, str]:
        """State by model; the newest version counts."""
        reply = await self._client.get_model_repository_index(client_timeout=QUESTION_SECONDS)
        newest: dict[str, tuple[int, str]] = {}
        for entry in reply.models:
            state = f"{entry.state or 'not loaded'}{f' ({entry.reason})' if entry.reason else ''}"
            newest[entry.name] = max(newest.get(entry.name, (-1, "")), (int(entry.version or 0), state))
        return {name: state for name, (_, state) in newest.items()}

    async def _config(self, name: str) -> model_config_pb2.ModelConfig:
        reply = await self._client.get_model_config(name, client_timeout=QUESTION_SECONDS)
        return reply.config

    async def _describe(self, config: model_config_pb2.ModelConfig) -> None:
        metadata = await self._client.get_model_metadata(config.name, client_timeout=QUESTION_SECONDS)
        inputs = self._specs(config, "input", config.input)
        outputs = self._specs(config, "output", config.output)
        self.found[config.name] = ModelInfo(
            name=config.name,
            version=max(map(int, metadata.versions)),
            max_batch_size=config.max_batch_size,
            inputs=inputs,
            outputs=outputs,
            parameters={key: value.string_value for key, value in sorted(config.parameters.items())},
            steps=tuple(step.model_name for step in config.ensemble_scheduling.step),
        )

    def _specs(
        self, config: model_config_pb2.ModelConfig, field: str, tensors: Iterable[Any]
    ) -> tuple[TensorSpec, ...]:
        specs = []
        for index, tensor in enumerate(tensors):
            kind = model_config_pb2.DataType.Name(tensor.data_type)
            if kind in DTYPES:
                specs.append(TensorSpec(tensor.name, DTYPES[kind], tuple(tensor.dims)))
            else:
                self.diagnostics.add(
                    self._file(config.name), f"{field}[{index}].data_type", f"got {kind}", DTYPES
                )
        return tuple(specs)

    def _file(self, name: str) -> str:
        return f"{self._url}: {name}/config.pbtxt"


def _with_steps(wanted: Mapping[str, None], configs: Mapping[str, model_config_pb2.ModelConfig]) -> list[str]:
    """The models wanted and everything they are made of or name, in the order in which they are met."""
    names = list(wanted)
    for name in names:  # grows on the way
        if name in configs:
            config = configs[name]
            parts = [step.model_name for step in config.ensemble_scheduling.step]
            parts += [config.parameters[key].string_value for key in _BESIDE if key in config.parameters]
            names += [part for part in dict.fromkeys(parts) if part not in names]
    return names


def is_silent(error: InferenceServerException) -> bool:
    """Whether a question failed because nobody answered, and not by its answer."""
    return (error.status() or "") in _SILENT


_SILENT = {"StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED"}
