"""The request that is measured: one picture for one label map, and what it cost."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.samples import Sample, StageSample
from benchmarks.scenarios import SendRequest
from maskweave_client import AsyncClient, Result

ROOT = Path(__file__).parent.parent
LABEL_MAPS = ROOT / "client" / "examples" / "label_maps"


def read_label_map(path: Path | None) -> NDArray[np.uint8]:
    """The class ids `[height, width]` of a palette PNG; without a path, of the first sample."""
    with Image.open(path or min(LABEL_MAPS.glob("*.png"))) as image:
        return np.asarray(image, np.uint8)


def sampled_request(client: AsyncClient, model: str, label_map: NDArray[np.uint8]) -> SendRequest:
    """A function that asks for a picture of a seed and tells what the request cost."""

    async def send(seed: int) -> Sample:
        started = time.perf_counter()
        result = await client.synthesize(model, label_map, seed=seed)
        return _sample(result, time.perf_counter() - started)

    return send


def _sample(result: Result, observed: float) -> Sample:
    timings = result.timings
    return Sample(
        observed=observed,
        total=timings.total_seconds,
        queue=timings.queue_seconds,
        decode=timings.decode_seconds,
        encode=timings.encode_seconds,
        stages={
            each.stage: StageSample(each.queue_seconds, each.compute_seconds, each.cached)
            for each in timings.stages
        },
    )
