"""The device that is measured, and what it does at best."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

import onnxruntime as ort
import torch

CUDA = "CUDAExecutionProvider"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Device:
    """The first GPU, or without one the CPU."""

    def __init__(self) -> None:
        self.gpu = torch.cuda.is_available()
        self.name = "cuda" if self.gpu else "cpu"
        # FP32 means FP32, with PyTorch as with ONNX Runtime.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False

    def facts(self) -> dict[str, Any]:
        """What it is, and the versions of what runs on it."""
        return {
            "gpu": torch.cuda.get_device_name() if self.gpu else None,
            "memory_bytes": torch.cuda.get_device_properties(0).total_memory if self.gpu else None,
            "machine": platform.machine(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "onnxruntime": ort.__version__,
            "onnxruntime_has_cuda": CUDA in ort.get_available_providers(),
        }

    def wait(self) -> None:
        """Until everything given to it is done."""
        if self.gpu:
            torch.cuda.synchronize()

    def seconds_of(self, run: Callable[[], object], seconds: float) -> float:
        """Median of a run's durations, after runs that do not count.

        Args:
            run: What is measured; it may return before it is done.
            seconds: For which it is repeated, twice at least.
        """
        for _ in range(3 if self.gpu else 1):
            run()
        self.wait()
        durations: list[float] = []
        end = time.perf_counter() + seconds
        while len(durations) < 2 or time.perf_counter() < end:
            began = time.perf_counter()
            run()
            self.wait()
            durations.append(time.perf_counter() - began)
        return sorted(durations)[len(durations) // 2]

    def product_rate(self, precision: str, seconds: float) -> float:
        """Floating-point operations a second of a large matrix product: the roof of all that computes."""
        side = 8192 if self.gpu else 256
        left, right = (torch.randn(side, side, device=self.name, dtype=DTYPES[precision]) for _ in range(2))
        return 2 * side**3 / self.seconds_of(lambda: left @ right, seconds)

    def copy_rate(self, seconds: float) -> float:
        """Bytes read and written a second by a large copy: the roof of all that moves."""
        count = 2**28 if self.gpu else 2**20
        source = torch.zeros(count, device=self.name)
        target = torch.empty_like(source)
        return 2 * source.nbytes / self.seconds_of(lambda: target.copy_(source), seconds)
