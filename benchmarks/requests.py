"""The requests that are measured, for one picture each, and what they cost."""

from __future__ import annotations

import io
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.samples import Sample, StageSample
from benchmarks.scenarios import SendRequest
from maskweave_client import AsyncClient, Model, Result, StageTiming

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "client" / "examples"
LABEL_MAPS = EXAMPLES / "label_maps"

AskFor = Callable[[int], Awaitable[Result]]
"""Asks for one picture with the seed given."""


def read_label_map(path: Path | None) -> NDArray[np.uint8]:
    """The class ids `[height, width]` of a palette PNG; without a path, of the first sample."""
    with Image.open(path or min(LABEL_MAPS.glob("*.png"))) as image:
        return np.asarray(image, np.uint8)


def sampled_request(client: AsyncClient, model: str, label_map: NDArray[np.uint8]) -> SendRequest:
    """A function that asks for a picture of a seed and tells what the request cost."""
    return sampled(lambda seed: client.synthesize(model, label_map, seed=seed))


def sampled(ask: AskFor) -> SendRequest:
    """A function that asks and tells what the request cost."""

    async def send(seed: int) -> Sample:
        started = time.perf_counter()
        result = await ask(seed)
        return _sample(result, time.perf_counter() - started)

    return send


def requests_of_every_kind(client: AsyncClient, model: Model) -> Mapping[str, AskFor]:
    """By name, a request for each kind of condition and edit that a model takes, on the examples' samples.

    An edit wishes the second sample label map, with the first as the source's.
    """
    conditions: Mapping[str, AskFor] = {
        "label_map": lambda seed: client.synthesize(model.name, _sample_of("label_maps"), seed=seed),
        "sketch": lambda seed: client.synthesize(model.name, sketch=_sample_of("sketches"), seed=seed),
        "scribble": lambda seed: client.synthesize(model.name, scribble=_sample_of("scribbles"), seed=seed),
        "proxy_mask": lambda seed: client.synthesize(
            model.name, proxy_mask=_sample_of("proxy_masks"), seed=seed
        ),
        "exemplar": lambda seed: client.synthesize(model.name, exemplar=_sample_of("exemplars"), seed=seed),
    }
    requests = {condition.kind: conditions[condition.kind] for condition in model.conditions}
    if model.editing is not None:
        requests["edit of a seed"] = lambda seed: _edit(client, model, seed)
        if model.editing.images:
            requests["edit of a picture"] = lambda seed: _edit(client, model, _new_picture(seed))
    return requests


async def _edit(client: AsyncClient, model: Model, image_or_seed: NDArray[np.uint8] | int) -> Result:
    source, target = _sample_of("label_maps"), _sample_of("label_maps", 1)
    return await client.edit(model.name, image_or_seed, target, source=source)


def _new_picture(seed: int) -> NDArray[np.uint8]:
    """A picture that no other seed gives, as what is found in pictures is remembered."""
    with Image.open(io.BytesIO(_sample_of("exemplars"))) as image:
        pixels = np.array(image.convert("RGB"))
    pixels[0, 0] = (seed & 255, seed >> 8 & 255, seed >> 16 & 255)
    return pixels


@cache
def _sample_of(folder: str, number: int = 0) -> bytes:
    return sorted((EXAMPLES / folder).glob("*.png"))[number].read_bytes()


def _sample(result: Result, observed: float) -> Sample:
    timings = result.timings
    runs: dict[str, list[StageTiming]] = {}
    for run in timings.stages:
        runs.setdefault(run.stage, []).append(run)
    return Sample(
        observed=observed,
        total=timings.total_seconds,
        queue=timings.queue_seconds,
        decode=timings.decode_seconds,
        encode=timings.encode_seconds,
        stages={
            stage: StageSample(
                sum(run.queue_seconds for run in each),
                sum(run.compute_seconds for run in each),
                all(run.cached for run in each),
            )
            for stage, each in runs.items()
        },
    )
