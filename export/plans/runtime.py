"""Runs a plan with TensorRT's Python API, as Triton's backend would, on this machine's first GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.plans.builder import tensorrt

Array = NDArray[Any]


class PlanRunner:
    """A plan that has been checked already; see `export.plans.check`.

    Raises:
        BuildError: if TensorRT is not installed.
        ValueError: if PyTorch finds no GPU, or TensorRT cannot load the plan.
    """

    def __init__(self, plan: Path) -> None:
        trt = tensorrt()
        if not torch.cuda.is_available():
            raise ValueError(f"{plan}: running a plan needs a GPU and a PyTorch with CUDA, which is not here")
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise ValueError(f"{plan}: TensorRT cannot load the plan; its log above says why")
        self._context = self._engine.create_execution_context()
        self._dtypes = {
            self._engine.get_tensor_name(i): np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
            for i in range(self._engine.num_io_tensors)
            if (name := self._engine.get_tensor_name(i))
        }

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, for inputs by name, batch first."""
        held = {name: torch.from_numpy(value).contiguous().cuda() for name, value in inputs.items()}
        for name, tensor in held.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
        results = {name: self._empty(name) for name in self._dtypes if name not in held}
        for name, tensor in (held | results).items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        stream = torch.cuda.current_stream()
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError("TensorRT failed to run the plan; its log above says why")
        stream.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in results.items()}

    def _empty(self, name: str) -> torch.Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        return torch.from_numpy(np.empty(shape, self._dtypes[name])).cuda()
