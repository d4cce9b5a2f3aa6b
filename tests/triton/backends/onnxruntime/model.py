"""Stands in for Triton's C++ onnxruntime backend where only the python backend is at hand.

Triton's python backend runs this module for every model whose config says `backend: "onnxruntime"`: the same
repository, configs, scheduler, queues and caches as in production, with ONNX Runtime called from Python. It
proves names, shapes, wiring, batching and queue policies. Its latency says nothing of Triton's own backend.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

_TRUE = ("1", "true")
# As the C++ backend has them, triton-inference-server/onnxruntime_backend `src/onnxruntime.cc`.
_DEFAULTS = {"intra_op_thread_count": "0", "inter_op_thread_count": "0", "execution_mode": "0"}


class TritonPythonModel:
    """One instance of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model file; a config that does not fit the file fails the load, as it does in C++."""
        config = json.loads(args["model_config"])
        file = config["default_model_filename"] or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        self._session = onnxruntime.InferenceSession(
            str(path), _session_options(config["parameters"]), providers=["CPUExecutionProvider"]
        )
        self._inputs = [entry["name"] for entry in config["input"]]
        self._batched = config["max_batch_size"] > 0
        _check(config, "input", self._session.get_inputs())
        _check(config, "output", self._session.get_outputs())

    def execute(self, requests: list) -> list:  # type: ignore[type-arg]
        """Run what the dynamic batcher has put together as one batch."""
        live = [request for request in requests if not request.is_cancelled()]
        names = list(dict.fromkeys(name for request in live for name in request.requested_output_names()))
        answers = iter(self._answers(live, names)) if live else iter(())
        cancelled = triton.TritonError("cancelled by its caller", triton.TritonError.CANCELLED)
        return [
            next(answers) if request in live else triton.InferenceResponse(error=cancelled)
            for request in requests
        ]

    def _answers(self, requests: list, names: list[str]) -> list:  # type: ignore[type-arg]
        fed = [
            {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        try:
            if not self._batched:
                batches = [self._session.run(names, feed) for feed in fed]
            else:
                together = {name: np.concatenate([feed[name] for feed in fed]) for name in self._inputs}
                ends = np.cumsum([len(feed[self._inputs[0]]) for feed in fed])[:-1]
                split = [np.split(array, ends) for array in self._session.run(names, together)]
                batches = list(zip(*split, strict=True))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            failure = triton.TritonError(f"onnx runtime error: {error}")
            return [triton.InferenceResponse(error=failure) for _ in requests]
        return [
            triton.InferenceResponse(
                [
                    triton.Tensor(name, np.ascontiguousarray(array))
                    for name, array in zip(names, arrays, strict=True)
                    if name in request.requested_output_names()
                ]
            )
            for request, arrays in zip(requests, batches, strict=True)
        ]


def _session_options(parameters: dict[str, dict[str, str]]) -> onnxruntime.SessionOptions:
    values = _DEFAULTS | {key: entry["string_value"] for key, entry in parameters.items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(values["intra_op_thread_count"])
    options.inter_op_num_threads = int(values["inter_op_thread_count"])
    options.execution_mode = onnxruntime.ExecutionMode(int(values["execution_mode"]))
    options.enable_cpu_mem_arena = values.get("enable_mem_arena", "1").lower() in _TRUE
    options.enable_mem_pattern = values.get("enable_mem_pattern", "1").lower() in _TRUE
    # Every instance is a process of its own: threads that spin while they wait would starve the others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _check(config: dict, field: str, nodes: list) -> None:  # type: ignore[type-arg]
    """Refuse a config whose tensors are not the file's."""
    found = {node.name: node for node in nodes}
    for entry in config[field]:
        node = found.get(entry["name"])
        if node is None:
            raise triton.TritonModelException(
                f"{config['name']}: {field} {entry['name']!r} is not in the file; it has {', '.join(found)}"
            )
        dims = ([-1] if config["max_batch_size"] else []) + [int(size) for size in entry["dims"]]
        shape = [size if isinstance(size, int) else -1 for size in node.shape]
        fits = len(dims) == len(shape) and all(
            -1 in (a, b) or a == b for a, b in zip(dims, shape, strict=True)
        )
        kind = _KINDS.get(node.type)
        if not fits or kind != entry["data_type"]:
            raise triton.TritonModelException(
                f"{config['name']}: {field} {entry['name']!r} is {entry['data_type']} {dims} in the config, "
                f"{kind or node.type} {shape} in the file"
            )


_KINDS = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
}
