"""From a scenario and what a service says of its models to messages that are ready to be sent.

Messages are made once, as bytes. A seed is added to one by appending its field, which is how protobuf merges
messages, so that sending a request costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from google.protobuf.message import Message

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_bench import messages
from maskweave_bench.scenario import Ask, Scenario, ScenarioError

SERVICE = "/maskweave.v1.SynthesisService/"

_SESSIONS = 8
_MIX = 4096


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request of the mix, ready to be sent.

    Attributes:
        name: For the report.
        method: gRPC's full name of the method.
        shape: How the call goes: one reply, a stream of replies, or a session of Paint.
        request: Name of the message that has the seed; empty for requests without.
        response: Name of the reply's message.
        templates: The messages without their seeds, one for each variant.
        sessions: Of Paint: the updates of a few sessions.
        images: Seeds that one request takes.
        distinct_seeds: 0 for new seeds.
        timeout: Deadline in seconds.
    """

    name: str
    method: str
    shape: Literal["unary", "stream", "paint"]
    request: str
    response: str
    templates: tuple[bytes, ...]
    sessions: tuple[tuple[messages.Update, ...], ...]
    images: int
    distinct_seeds: int
    timeout: float

    def message(self, number: int, first_seed: int) -> bytes:
        """The message of request `number`.

        Args:
            number: Of the request in the load.
            first_seed: Of the load.
        """
        turn, variant = divmod(number, len(self.templates))
        template = self.templates[variant]
        if not self.request:
            return template
        seed = number * self.images
        if self.distinct_seeds:
            # Each seed meets each variant before any comes with the same one again.
            seed = (number + turn) % self.distinct_seeds * self.images
        return template + _with_seed(self.request, (first_seed + seed) % messages.SEEDS)


@dataclass(frozen=True, slots=True)
class Mix:
    """The requests of a scenario and their order.

    Attributes:
        prepared: The requests.
        order: Index of the request that each number is, over and over.
    """

    prepared: tuple[Prepared, ...]
    order: tuple[int, ...]

    def kind(self, number: int) -> int:
        """Which of the requests request `number` is: the same one in every load and on every target."""
        return self.order[number % len(self.order)]


def prepare(scenario: Scenario, models: Mapping[str, pb.Model]) -> Mix:
    """Make a scenario's messages.

    Args:
        scenario: What is asked.
        models: The service's models by name.

    Raises:
        ScenarioError: The service has no model for it.
    """
    random = np.random.default_rng(scenario.seed)
    prepared = [_prepare(ask, _model_for(ask, scenario, models), random) for ask in scenario.requests]
    weights = np.array([ask.weight for ask in scenario.requests])
    order = random.choice(len(prepared), size=_MIX, p=weights / weights.sum())
    return Mix(tuple(prepared), tuple(order.tolist()))


def models_used(scenario: Scenario, models: Mapping[str, pb.Model]) -> list[pb.Model]:
    """The models that a scenario asks for, each once."""
    used = {model.name: model for model in (_model_for(ask, scenario, models) for ask in scenario.requests)}
    return list(used.values())


def _model_for(ask: Ask, scenario: Scenario, models: Mapping[str, pb.Model]) -> pb.Model:
    name = ask.model or scenario.model
    if name:
        if name not in models:
            raise ScenarioError(
                f"model: got {name!r}, which the service does not have; allowed: {', '.join(models)}"
            )
        if problem := _cannot(ask, models[name]):
            raise ScenarioError(f"{ask.title}: the model {name} {problem}")
        return models[name]
    for model in models.values():
        if not _cannot(ask, model):
            return model
    problems = "; ".join(f"{model.name} {_cannot(ask, model)}" for model in models.values())
    raise ScenarioError(f"{ask.title}: no model of the service takes it: {problems or 'it has none'}")


def _cannot(ask: Ask, model: pb.Model) -> str:
    """Why a model does not take a request; empty when it does."""
    kinds = {support.kind for support in model.conditions}
    edits = model.HasField("editing") and (ask.source == "seed" or model.editing.pictures)
    makes = ask.rpc in {"synthesize", "synthesize_stream"}
    problems = (
        (makes and messages.KINDS[ask.condition] not in kinds, f"takes no {ask.condition}"),
        (ask.rpc == "paint" and pb.CONDITION_KIND_LABEL_MAP not in kinds, "takes no label_map"),
        (ask.rpc in {"encode_styles", "morph"} and not model.HasField("styles"), "has no styles"),
        (
            ask.rpc == "edit" and not edits,
            f"takes no edits of {'a seed' if ask.source == 'seed' else 'images'}",
        ),
        (
            makes and ask.images > model.limits.max_images > 0,
            f"makes at most {model.limits.max_images} images in one request",
        ),
    )
    return next((text for wrong, text in problems if wrong), "")


def _prepare(ask: Ask, model: pb.Model, random: np.random.Generator) -> Prepared:
    builders: dict[str, Callable[[Ask, pb.Model, np.random.Generator], Message]] = {
        "synthesize": messages.synthesize,
        "synthesize_stream": messages.synthesize,
        "paint": messages.paint,
        "encode_styles": messages.encode_styles,
        "morph": messages.morph,
        "edit": messages.edit,
        "list_models": lambda ask, model, random: pb.ListModelsRequest(),
        "get_model": lambda ask, model, random: pb.GetModelRequest(name=model.name),
    }
    method = "".join(word.capitalize() for word in ask.rpc.split("_"))
    build = builders[ask.rpc]
    if ask.inputs:
        made: list[Message] = [
            messages.synthesize(ask, model, random, file) for file in map(_read, ask.inputs)
        ]
    else:
        made = [build(ask, model, random) for _ in range(1 if "model" in ask.rpc else ask.variants)]
    seeded = {
        "synthesize": "SynthesizeRequest",
        "synthesize_stream": "SynthesizeRequest",
        "paint": "PaintRequest",
        "morph": "MorphRequest",
        "edit": "EditRequest" if ask.source == "seed" else "",
    }
    return Prepared(
        name=ask.title,
        method=SERVICE + method,
        shape="paint"
        if ask.rpc == "paint"
        else "stream"
        if ask.rpc in {"synthesize_stream", "morph"}
        else "unary",
        request=seeded.get(ask.rpc, ""),
        response=method + "Response",
        templates=tuple(message.SerializeToString() for message in made),
        sessions=tuple(messages.session(ask, model, random) for _ in range(_SESSIONS))
        if ask.rpc == "paint"
        else (),
        images=ask.images,
        distinct_seeds=ask.distinct_seeds if ask.seeds == "repeated" else 0,
        timeout=ask.timeout_seconds + (ask.session_seconds if ask.rpc == "paint" else 0.0),
    )


def _with_seed(request: str, seed: int) -> bytes:
    if request == "PaintRequest":
        return pb.PaintRequest(start=pb.PaintStart(seed=seed)).SerializeToString()
    message: Message = getattr(pb, request)(seed=seed)
    return message.SerializeToString()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"inputs: {path} cannot be read: {error.strerror}") from error
