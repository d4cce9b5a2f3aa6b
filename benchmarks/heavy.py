"""Measure a heavy model on every runtime and precision: `python -m benchmarks.heavy` in `.venv/dev`.

A StyleGAN2 of 256 px with random weights, made by a command of the exporter, is served by a gateway of this
checkout as any other pack is: time of each stage, its share of what the machine can convolve at best, memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.environment import fingerprint
from benchmarks.local_service import ServiceFailedError, local_service
from benchmarks.memory import memory_mib
from benchmarks.page import FIGURES
from benchmarks.requests import read_label_map
from benchmarks.stats import summarize
from maskweave_client import Client

_WAYS = ("onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino bf16", "openvino int8")
_SHAPES = ((64, 64), (128, 32), (256, 32), (256, 64), (512, 16), (512, 32))
"""Channels and cells a side of the convolutions of which the fastest counts."""


def make(resolution: int, widest: int, repository: Path, *, int8: bool) -> None:
    """Make the model repository, if it is not there.

    Args:
        resolution: Pixels a side.
        widest: Channels at most.
        repository: Where.
        int8: Whether to make 8-bit graphs, too.

    Raises:
        click.ClickException: The exporter failed.
    """
    if (repository / "flops.json").exists():
        return
    command = [sys.executable, "-m", "export.random_stylegan2", "--resolution", str(resolution)]
    command += ["--int8"] if int8 else []
    command += ["--widest", str(widest), "--repository", str(repository)]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise click.ClickException(f"failed: {' '.join(command)}")


def best_convolution_rate(threads: int, seconds: float) -> float:
    """The most floating-point operations a second of a 3x3 convolution in FP32 on ONNX Runtime.

    Args:
        threads: That share the convolution.
        seconds: For each of several shapes.
    """
    best = 0.0
    for channels, side in _SHAPES:
        session = _convolution(channels, side, threads)
        given = {"x": np.random.default_rng(0).standard_normal((1, channels, side, side), np.float32)}
        operations = 2 * channels * channels * 9 * side * side
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            session.run(None, given)
            best = max(best, operations / (time.perf_counter() - began))
    return best


def _convolution(channels: int, side: int, threads: int) -> onnxruntime.InferenceSession:
    weight = np.random.default_rng(1).standard_normal((channels, channels, 3, 3), np.float32)
    shape = (1, channels, side, side)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def measure(repository: Path, model: str, way: str, requests: int) -> dict[str, Any]:
    """One client, new seeds: seconds of each stage, and the gateway's memory; or why it does not serve."""
    runtime, precision = way.split()
    settings = {
        "MODEL_REPOSITORY": str(repository),
        "LOG_LEVEL": "error",
        "EMBEDDED_RUNTIME": runtime,
        "EMBEDDED_PRECISION": precision,
    }
    try:
        with local_service(settings) as service, Client(service.address) as client:
            at_start = memory_mib(service.pid)
            label_map = read_label_map(None)
            runs: dict[str, list[float]] = {}
            for seed in range(requests + 1):
                timings = client.synthesize(model, label_map, seeds=[seed]).timings
                for stage in timings.stages if seed else ():
                    runs.setdefault(stage.stage, []).append(stage.compute_seconds)
            return {
                "stages": {name: summarize(seconds).p50 for name, seconds in runs.items()},
                "seconds_to_ready": service.seconds_to_ready,
                "memory_mib_at_start": at_start,
                "memory_mib": memory_mib(service.pid),
            }
    except ServiceFailedError as error:
        lines = [line.strip() for line in str(error).splitlines() if "embedded_runtime" in line]
        why = next((line for line in lines if ": " in line and "=" not in line[:40]), None)
        if why is None:  # it failed by something else, which says nothing about the runtime
            raise click.ClickException(f"{way}: {error}") from None
        # Where the model lay for the while is no figure.
        return {"refused": why.replace(f"{repository}/", "")}


def figures(
    repository: Path, model: str, ways: Sequence[str], requests: int, seconds: float
) -> dict[str, Any]:
    """All that is measured of a repository."""
    flops: Mapping[str, int] = json.loads((repository / "flops.json").read_text())[f"{model}_label_map"]
    threads = fingerprint(repository)["machine"]["usable_cores"]
    return {
        "model": model,
        "requests": requests,
        "threads": threads,
        "flops": flops,
        "best_convolution_flops_per_second": best_convolution_rate(threads, seconds),
        "ways": {way: measure(repository, model, way, requests) for way in ways},
    }


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--resolution", type=click.Choice(["64", "128", "256"]), default="256", help="Pixels a side.")
@click.option("--widest", type=click.IntRange(8, 512), default=512, help="Channels at most.")
@click.option("--way", "ways", type=click.Choice(_WAYS), multiple=True, default=_WAYS, help="Repeatable.")
@click.option("--model", help="In a repository of your own with a flops.json.  [default: that of the size]")
@click.option("--requests", type=click.IntRange(1), default=8, help="Of each runtime and precision.")
@click.option(
    "--seconds", type=click.FloatRange(0.01), default=0.5, help="Of each convolution that is tried."
)
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the model is made, once.  [default: a temporary folder]",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FIGURES / "heavy.json",
    show_default="docs/figures/heavy.json",
)
def main(
    resolution: str,
    widest: int,
    ways: tuple[str, ...],
    model: str | None,
    requests: int,
    seconds: float,
    repository: Path | None,
    output: Path,
) -> None:
    """Make the model, serve it in every way, write the figures."""
    with tempfile.TemporaryDirectory() as folder:
        place = repository or Path(folder)
        make(int(resolution), widest, place, int8=any("int8" in way for way in ways))
        environment = fingerprint(place)
        measured = figures(place, model or f"stylegan2_{resolution}", ways, requests, seconds)
    command = f"python -m benchmarks.heavy --resolution {resolution} --widest {widest} --requests {requests}"
    output.parent.mkdir(parents=True, exist_ok=True)
    found = {"command": command, "environment": environment, "figures": measured}
    output.write_text(json.dumps(found, indent=1) + "\n")
    click.echo(f"{output}; now: python -m benchmarks.page", err=True)


if __name__ == "__main__":
    main()
