"""The load on one server, from a process of its own: prints what came of it as one line of JSON.

`python -m benchmarks.peers.load --kind http-raw --address 127.0.0.1:8000 --plan FILE --label-map FILE
--clients 8 --seconds 5`, with `--rate 30` in place of `--clients` for requests that come by chance.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import grpc
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_bench.loops import Bounds, Clock, closed_loop, open_loop
from maskweave_bench.samples import OK, Sample

Ask = Callable[[int, bytes], Awaitable[Mapping[str, float]]]
"""Asks for the image of a seed and a label map, a palette PNG; tells what the server says of the time that it
took, in milliseconds."""

# As a text: only the type stubs have parameters.
_Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

_SHIFTS = 256
"""More than any server could remember all that follows from them."""
PNG = b"\x89PNG\r\n\x1a\n"


class WrongAnswerError(RuntimeError):
    """A server answered something that is no image."""


def _checked(image: bytes) -> None:
    if not image.startswith(PNG):
        raise WrongAnswerError(f"no PNG, but {image[:200]!r}")


async def _maskweave(address: str, plan: Mapping[str, Any], stack: AsyncExitStack) -> Ask:
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        "/maskweave.v1.SynthesisService/Synthesize"
    )
    model = plan["ensemble"].removesuffix("_label_map")

    async def ask(seed: int, label_map: bytes) -> Mapping[str, float]:
        request = pb.SynthesizeRequest(model=model, label_map=pb.LabelMap(png=label_map), seed=seed)
        reply = pb.SynthesizeResponse.FromString(await call(request.SerializeToString()))
        _checked(reply.images[0].data)
        if not reply.HasField("timings"):
            return {}
        total = reply.timings.total.ToNanoseconds()
        stages = sum(
            stage.queue.ToNanoseconds() + stage.compute.ToNanoseconds() for stage in reply.timings.stages
        )
        return {"total": total / 1e6, "stages": stages / 1e6, "own": (total - stages) / 1e6}

    return ask


async def _triton(address: str, plan: Mapping[str, Any], stack: AsyncExitStack) -> Ask:
    # Tensors in and out: Triton has no codecs, so that this one does less than the others.
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer"
    )
    height, width = plan["label_map"]

    async def ask(seed: int, label_map: bytes) -> Mapping[str, float]:
        with Image.open(io.BytesIO(label_map)) as image:
            ids = np.asarray(image.resize((width, height), Image.Resampling.NEAREST))[np.newaxis]
        latent = np.random.default_rng(seed).standard_normal((1, *plan["latent"]), np.float32)
        arrays = {"LABEL_MAP": (ids, "UINT8"), "LATENT": (latent * np.float32(plan["latent_scale"]), "FP32")}
        if plan["style_strength"] is not None:
            arrays["STYLE_STRENGTH"] = (np.array([[plan["style_strength"]]], np.float32), "FP32")
        request = service_pb2.ModelInferRequest(model_name=plan["ensemble"])
        for name, (array, datatype) in arrays.items():
            request.inputs.add(name=name, datatype=datatype, shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        request.outputs.add(name="IMAGE")
        reply = service_pb2.ModelInferResponse.FromString(await call(request.SerializeToString()))
        if len(reply.raw_output_contents[0]) != height * width * 3:
            raise WrongAnswerError(f"{len(reply.raw_output_contents[0])} bytes of image")
        return {}

    return ask


Post = tuple[str, Mapping[str, Any]]
"""Path and arguments of `aiohttp.ClientSession.post`."""


def _raw(label_map: bytes, seed: int) -> Post:
    return f"/image?seed={seed}", {"data": label_map, "headers": {"content-type": "image/png"}}


def _json(label_map: bytes, seed: int) -> Post:
    return "/predict", {"json": {"label_map": base64.b64encode(label_map).decode(), "seed": seed}}


def _form(label_map: bytes, seed: int) -> Post:
    form = aiohttp.FormData()
    form.add_field("label_map", label_map, filename="label_map.png", content_type="image/png")
    form.add_field("seed", str(seed))
    return "/image", {"data": form}


def _msgpack(label_map: bytes, seed: int) -> Post:
    # {"label_map": bin 16, "seed": uint 32}, which is all of the format that is needed here.
    body = b"\x82\xa9label_map\xc5" + len(label_map).to_bytes(2, "big") + label_map
    return "/inference", {"data": body + b"\xa4seed\xce" + seed.to_bytes(4, "big")}


async def _http(
    make: Callable[[bytes, int], Post],
    address: str,
    plan: Mapping[str, Any],
    stack: AsyncExitStack,
) -> Ask:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    session = await stack.enter_async_context(
        aiohttp.ClientSession(base_url=f"http://{address}", connector=connector)
    )

    async def ask(seed: int, label_map: bytes) -> Mapping[str, float]:
        path, arguments = make(label_map, seed)
        async with session.post(path, **arguments) as reply:
            image = await reply.read()
            if reply.status != 200:
                raise WrongAnswerError(f"status {reply.status}: {image[:200]!r}")
        _checked(image)
        return {}

    return ask


KINDS: Mapping[str, Callable[..., Awaitable[Ask]]] = {
    "maskweave": _maskweave,
    "triton": _triton,
    "http-raw": partial(_http, _raw),
    "http-json": partial(_http, _json),
    "http-form": partial(_http, _form),
    "http-msgpack": partial(_http, _msgpack),
}
"""How servers are asked, by name."""


async def measured(
    kind: str,
    address: str,
    plan: Mapping[str, Any],
    label_map: bytes,
    *,
    seconds: float,
    warmup_seconds: float,
    clients: int = 0,
    rate: float = 0.0,
    repeated: bool = False,
) -> dict[str, Any]:
    """Load a server and tell what came of it: images per second, and milliseconds.

    Args:
        kind: Of `KINDS`.
        address: `host:port`.
        plan: Of the ensemble, see `plan.py`.
        label_map: A palette PNG.
        seconds: How long.
        warmup_seconds: Before that.
        clients: Of a closed loop: requests under way at any time.
        rate: Of an open loop: requests per second, at times of a Poisson process.
        repeated: Ask for one seed again and again, with a new label map each time, as who draws does.

    Raises:
        WrongAnswerError: An answer is no image, or none came.
    """
    first = time.time_ns() // 1_000_000 % 2**31  # no seed of a load before
    told: dict[int, Mapping[str, float]] = {}
    samples: list[Sample] = []
    whole = warmup_seconds + seconds
    maps = shifted(label_map, _SHIFTS if repeated else 1)
    async with AsyncExitStack() as stack:
        ask = await KINDS[kind](address, plan, stack)

        async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
            sent = clock()
            told[number] = await ask(first if repeated else first + number, maps[number % len(maps)])
            return [Sample(number, 0, due, sent, clock(), OK)]

        begin, cpu = asyncio.get_running_loop().time(), time.process_time()
        if clients:
            await closed_loop(
                clients, whole, send, samples.append, begin=begin, bounds=Bounds(), max_requests=10**9
            )
        else:
            gaps = np.random.default_rng(0).exponential(1 / rate, int(2 * rate * whole) + 10)
            times = np.cumsum(gaps)
            due = times[times < whole]
            await open_loop(due, range(due.size), send, samples.append, begin=begin, bounds=Bounds())
        cpu = time.process_time() - cpu
    answered = [sample for sample in samples if sample.code == OK]
    if not answered:
        raise WrongAnswerError(f"no answer within {seconds:g} s")
    kept = [sample for sample in answered if sample.due >= warmup_seconds and (rate or sample.done <= whole)]
    if not kept:  # each took longer than the whole load
        kept, seconds = answered, max(sample.done for sample in answered)
    figures: dict[str, Any] = {
        "images": len(kept),
        "images_in_all": len(answered),
        "per_second": len(kept) / seconds,
        "client_cpu_ms_per_image": cpu * 1e3 / len(answered),
    }
    figures |= {"clients": clients} if clients else {"rate": rate}
    figures["observed"] = _percentiles([(sample.done - sample.due) * 1e3 for sample in kept])
    for name in told[kept[0].number]:
        figures[name] = _percentiles([told[sample.number][name] for sample in kept])
    return figures


def shifted(label_map: bytes, count: int) -> list[bytes]:
    """A palette PNG, moved a little in so many ways; the first is as it was."""
    made = [label_map]
    with Image.open(io.BytesIO(label_map)) as image:
        ids, palette = np.asarray(image), image.getpalette()
    for number in range(1, count):
        down, right = divmod(number, 16)
        moved = Image.fromarray(np.roll(ids, (4 * down, 4 * right), (0, 1)), "P")
        moved.putpalette(palette or [])
        stream = io.BytesIO()
        moved.save(stream, "PNG")
        made.append(stream.getvalue())
    return made


def _percentiles(values: Sequence[float]) -> Mapping[str, float]:
    """Nearest-rank: each is a value that was measured."""
    found = np.percentile(values, (50, 90, 99), method="inverted_cdf").round(3).tolist()
    return dict(zip(("p50", "p90", "p99"), found, strict=True))


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--label-map", type=Path, required=True)
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--clients", type=int, default=0)
    load.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warmup-seconds", type=float, default=1.0)
    parser.add_argument("--repeated", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(
        measured(
            options.kind,
            options.address,
            json.loads(options.plan.read_text()),
            options.label_map.read_bytes(),
            seconds=options.seconds,
            warmup_seconds=options.warmup_seconds,
            clients=options.clients,
            rate=options.rate,
            repeated=options.repeated,
        )
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
