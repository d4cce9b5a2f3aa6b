"""Chooses what runs the models: what the operator asked for or, of several things allowed, the fastest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from service.core.diagnostics import Diagnostics
from service.core.errors import ConfigurationError
from service.engine.base import Array
from service.engine.cancellation import CancelToken
from service.engine.embedded.loading import CheckedRepository, LoadedModel
from service.engine.embedded.precisions import UsedFile, check_gate
from service.engine.embedded.runtime import Allowed, Precision, Runtime, RuntimeName, graph_file
from service.engine.embedded.session import Session
from service.engine.embedded.warmup import warm_up_inputs

_RUNS = 5
_WORTH = 0.9
"""What another must take less than, as a part of the best before it: noise is no reason to change."""


@dataclass(frozen=True, slots=True)
class Possible:
    """What may serve a repository on this machine.

    Attributes:
        runtimes: The preferred first; one at least.
        refused: Why others may not, a line each.
    """

    runtimes: tuple[Runtime, ...]
    refused: tuple[str, ...]


def possible_runtimes(checked: CheckedRepository, allowed: Allowed) -> Possible:
    """What of the allowed can serve: it is installed, the CPU has it, and its images were found good enough.

    Raises:
        ConfigurationError: Nothing can; says why.
    """
    found: list[Runtime] = []
    refused: list[str] = []
    for name, precision in allowed.candidates:
        try:
            runtime = make_runtime(name, precision)
            _check_gate(checked, runtime)
        except ValueError as error:
            refused.append(f"embedded_runtime {name}, embedded_precision {precision}: {error}")
        else:
            found.append(runtime)
    if not found:
        raise ConfigurationError(refused)
    return Possible(tuple(found), tuple(refused))


def make_runtime(name: RuntimeName, precision: Precision) -> Runtime:
    """A runtime, imported only when it is asked for.

    Raises:
        ValueError: It is not installed, or cannot compute in this precision on this CPU.
    """
    if name == "onnxruntime":
        if precision == "bf16":
            raise ValueError("ONNX Runtime computes no bf16 on CPUs; allowed: fp32, int8")
        from service.engine.embedded.onnx_runtime import OnnxRuntime  # noqa: PLC0415

        return OnnxRuntime(precision)
    if find_spec("openvino") is None:
        raise ValueError(
            "OpenVINO is not installed; allowed: onnxruntime, or pip install 'maskweave[openvino]'"
        )
    from service.engine.embedded.openvino_runtime import OpenVinoRuntime  # noqa: PLC0415

    runtime = OpenVinoRuntime(precision)
    if precision == "bf16" and "BF16" not in runtime.capabilities:
        raise ValueError("this CPU has no instructions for bf16; allowed: fp32, int8")
    return runtime


def _check_gate(checked: CheckedRepository, runtime: Runtime) -> None:
    """Raise a ValueError when images in a runtime's precision are not known to be good enough."""
    files = [
        UsedFile(entry.config.name, graph_file(file, runtime.precision))
        for entry in checked.repository.entries.values()
        if not entry.config.is_ensemble
        for file in entry.versions.values()
    ]
    diagnostics = Diagnostics()
    check_gate(checked.root, runtime.name, runtime.precision, files, diagnostics)
    if problems := diagnostics.problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ValueError(f"{problems[0]}{more}")


def seconds_of(models: Sequence[LoadedModel], token: CancelToken) -> float:
    """Time that the models' warm-up requests take in all, each alone on the machine; each has run before."""
    total = 0.0
    for model in models:
        token.check()
        if not isinstance(model.runner, Session):
            continue
        for sample in model.config.warmups[:1]:
            inputs = warm_up_inputs(model.config, sample, Diagnostics())
            if inputs is not None:
                times = [_timed(model.runner, inputs, model.output_names) for _ in range(_RUNS)]
                total += statistics.median(times)
    return total


def _timed(session: Session, inputs: Mapping[str, Array], outputs: Sequence[str]) -> float:
    began = time.perf_counter()
    session.run(inputs, outputs)
    return time.perf_counter() - began


def is_worth_it(seconds: float, best: float) -> bool:
    """Whether a candidate is enough faster than the best of those preferred to it."""
    return seconds < best * _WORTH
