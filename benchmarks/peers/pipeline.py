"""The work of one image as twenty lines around ONNX Runtime: what every peer does between request and reply.

Runs in the environments of the peers, which have NumPy, Pillow and ONNX Runtime and nothing of this project.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image


class Pipeline:
    """The graphs of a plan (see `plan.py`), called one after the other in the caller's thread.

    Args:
        plan: The plan's file; by default the one that the runner names in the environment.
        threads: Threads of one operator.
    """

    def __init__(self, plan: Path | None = None, threads: int = 1) -> None:
        self.plan = json.loads((plan or Path(os.environ["PEER_PLAN"])).read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._steps = [
            (
                step,
                onnxruntime.InferenceSession(step["file"], options, providers=["CPUExecutionProvider"]),
            )
            for step in self.plan["steps"]
        ]
        self.image(_blank(self.plan["label_map"]), 0)

    def image(self, label_map: bytes, seed: int) -> bytes:
        """A PNG for a palette PNG and a seed."""
        return png_of(self.run(class_ids(label_map, *self.plan["label_map"]), self.latent(seed)))

    def latent(self, seed: int) -> NDArray[np.float32]:
        """The latent of a seed."""
        size: list[int] = self.plan["latent"]
        return np.random.default_rng(seed).standard_normal(size, np.float32)

    def run(self, ids: NDArray[np.uint8], latent: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The pixels, uint8 `[height, width, 3]`, for class ids `[height, width]` and a latent."""
        tensors: dict[str, NDArray[Any]] = {
            "LABEL_MAP": ids[None],
            "LATENT": latent[None] * np.float32(self.plan["latent_scale"]),
        }
        if self.plan["style_strength"] is not None:
            tensors["STYLE_STRENGTH"] = np.array([[self.plan["style_strength"]]], np.float32)
        for step, session in self._steps:
            feed = {name: tensors[tensor] for name, tensor in step["inputs"].items()}
            results = session.run(list(step["outputs"]), feed)
            tensors.update(zip(step["outputs"].values(), results, strict=True))
        pixels: NDArray[np.uint8] = tensors["IMAGE"][0]
        return pixels


def class_ids(label_map: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The class ids of a palette PNG, uint8 `[height, width]`."""
    with Image.open(io.BytesIO(label_map)) as file:
        return np.asarray(file.resize((width, height), Image.Resampling.NEAREST), np.uint8)


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of pixels, uint8 `[height, width, 3]`."""
    reply = io.BytesIO()
    Image.fromarray(pixels).save(reply, "PNG", compress_level=1)
    return reply.getvalue()


def workers() -> int:
    """How many workers a peer shall have: one a core, of one thread each."""
    return int(os.environ["PEER_WORKERS"])


def port() -> int:
    """Where a peer shall listen, on the loopback interface."""
    return int(os.environ["PEER_PORT"])


def _blank(size: list[int]) -> bytes:
    file = io.BytesIO()
    Image.new("L", (size[1], size[0])).save(file, "PNG")
    return file.getvalue()
