"""Makes one image through the gateway and looks at it, for `helm test`. Needs what the gateway's image has.

Variables: TARGET (a gRPC target), and optionally MODEL, API_KEY_FILE, CA_FILE, CERTIFICATE_FILE, KEY_FILE and
SERVER_NAME. Prints what it saw; exits with 1 and the reason if something is not as it must be.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from maskweave.v1 import synthesis_pb2, synthesis_pb2_grpc

SECONDS = 60
SIZE = 32


def channel() -> grpc.Channel:
    """A channel that waits for the name and takes the replicas in turn."""
    options: list[tuple[str, Any]] = [("grpc.lb_policy_name", "round_robin"), ("grpc.enable_http_proxy", 0)]
    target = os.environ["TARGET"]
    if "CA_FILE" not in os.environ:
        return grpc.insecure_channel(target, options)
    if name := os.environ.get("SERVER_NAME"):
        options.append(("grpc.ssl_target_name_override", name))
    pair: tuple[bytes | None, bytes | None] = (None, None)
    if "KEY_FILE" in os.environ:
        pair = (Path(os.environ["KEY_FILE"]).read_bytes(), Path(os.environ["CERTIFICATE_FILE"]).read_bytes())
    credentials = grpc.ssl_channel_credentials(Path(os.environ["CA_FILE"]).read_bytes(), *pair)
    return grpc.secure_channel(target, credentials, options)


def label_map(palette: list[int]) -> synthesis_pb2.LabelMap:
    """A square of the second class on a ground of the first."""
    drawn = np.full((SIZE, SIZE), palette[0], np.uint8)
    drawn[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = palette[1 % len(palette)]
    return synthesis_pb2.LabelMap(
        raw=synthesis_pb2.RawLabelMap(width=SIZE, height=SIZE, data=drawn.tobytes())
    )


def main() -> str:
    """Ask for health, a model, and twice for the same image; return what was seen."""
    metadata: tuple[tuple[str, str], ...] = ()
    if file := os.environ.get("API_KEY_FILE"):
        metadata = (("authorization", f"Bearer {Path(file).read_text().strip()}"),)
    call: dict[str, Any] = {"timeout": SECONDS, "metadata": metadata, "wait_for_ready": True}
    with channel() as connection:
        health = health_pb2_grpc.HealthStub(connection).Check(health_pb2.HealthCheckRequest(), **call)
        if health.status != health_pb2.HealthCheckResponse.SERVING:
            fail(f"health is {health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)}")
        service = synthesis_pb2_grpc.SynthesisServiceStub(connection)
        models = service.ListModels(synthesis_pb2.ListModelsRequest(), **call).models
        wanted = os.environ.get("MODEL", "")
        draws = synthesis_pb2.CONDITION_KIND_LABEL_MAP
        fit = [
            model
            for model in models
            if wanted in ("", model.name) and any(each.kind == draws for each in model.conditions)
        ]
        if not fit:
            fail(f"no model {wanted!r} draws label maps; there are {[model.name for model in models]}")
        model = fit[0]
        request = synthesis_pb2.SynthesizeRequest(
            model=model.name, label_map=label_map([entry.id for entry in model.palette]), seed=7
        )
        replies = [service.Synthesize(request, **call) for _ in range(2)]
    files = [reply.images[0].data for reply in replies]
    if files[0] != files[1]:
        fail(f"{model.name} gave two images for one seed")
    image = np.asarray(Image.open(io.BytesIO(files[0])).convert("RGB"))
    if image.shape != (model.image_height, model.image_width, 3):
        fail(f"the image is {image.shape}, and not {model.image_width} x {model.image_height}")
    if not image.std() > 1:
        fail("the image is of one colour")
    size = f"{image.shape[1]} x {image.shape[0]}"
    return f"{model.name} {model.version}: {size}, {len(files[0])} bytes, twice the same"


def fail(reason: str) -> NoReturn:
    """End with a reason."""
    sys.exit(f"make_image: {reason}")


if __name__ == "__main__":
    print(main())
