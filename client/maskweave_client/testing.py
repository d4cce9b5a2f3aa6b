"""A service for the tests of programs that use this client: in their process, and without a model.

```python
from maskweave_client import Client
from maskweave_client.testing import FakeService

with FakeService() as service, Client(service.address) as client:
    image = client.synthesize("faces64", label_map, seed=7).images[0].to_numpy()
    service.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_seconds=0.01)
```

An image shows the label map in the palette's colours, and the seed in its first pixel. Off every image the
same label map is read: all classes as stripes. Requests are not
checked as a service checks them: what a test must prove of refusals, it sets with `refuse`.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc

__all__ = ["FakeService"]

VERSION = "1.0.0"

_CLASSES = (
    ("background", "#1f1f1f"),
    ("hair", "#c83c3c"),
    ("skin", "#e6b48c"),
    ("brows", "#784614"),
    ("eyes", "#4678d2"),
    ("nose", "#fadc32"),
    ("mouth", "#d72882"),
    ("neck", "#3ca05a"),
)
_COLORS = np.array([list(bytes.fromhex(color[1:])) for _, color in _CLASSES], np.uint8)
_PAPER = 255
_CODE_SIZE = 3
_FORMATS: dict[int, str] = {
    pb.IMAGE_FORMAT_UNSPECIFIED: "PNG",
    pb.IMAGE_FORMAT_PNG: "PNG",
    pb.IMAGE_FORMAT_JPEG: "JPEG",
    pb.IMAGE_FORMAT_WEBP: "WEBP",
}


class FakeService:
    """A service on a free port of this machine, from `with` to its end.

    Args:
        models: Names of its models, which are all alike: eight classes, every kind of condition, styles,
            edits and reading of label maps.
        side: Width and height of their images in pixels.

    Attributes:
        address: Its address, for `Client`.
        requests: The messages of the contract that it was sent, in the order in which they came.
    """

    def __init__(self, models: Sequence[str] = ("faces64",), *, side: int = 64) -> None:
        self.requests: list[Any] = []
        self.address = ""
        self._models = [_model(name, side) for name in models]
        self._side = side
        self._refusals: list[tuple[grpc.StatusCode, str, float | None]] = []
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    def refuse(
        self,
        code: grpc.StatusCode,
        message: str = "refused",
        *,
        retry_after_seconds: float | None = None,
        times: int = 1,
    ) -> None:
        """Let the next calls fail.

        Args:
            code: With which status.
            message: And which message.
            retry_after_seconds: When it says to come back; None where it does not say.
            times: How many calls.
        """
        with self._lock:
            self._refusals += [(code, message, retry_after_seconds)] * times

    def __enter__(self) -> FakeService:
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
        pb_grpc.add_SynthesisServiceServicer_to_server(_Servicer(self), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = f"127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop(None).wait()

    def _take(self, request: Any, context: grpc.ServicerContext) -> None:
        """Remember a request, and end its call if that is to fail."""
        with self._lock:
            self.requests.append(request)
            refusal = self._refusals.pop(0) if self._refusals else None
        if refusal is None:
            return
        code, message, seconds = refusal
        if seconds is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromNanoseconds(round(seconds * 1e9))
            status = status_pb2.Status(code=code.value[0], message=message)
            status.details.add().Pack(info)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, message)

    def _named(self, name: str, context: grpc.ServicerContext) -> pb.Model:
        for model in self._models:
            if model.name == name:
                return model
        context.abort(grpc.StatusCode.NOT_FOUND, f"model {name!r} does not exist")
        raise AssertionError("abort raises")

    def _image(self, ids: NDArray[np.uint8], seed: int, image_format: int) -> pb.Image:
        places = (2 * np.arange(self._side) + 1) * np.array(ids.shape)[:, None] // (2 * self._side)
        fitted = ids[places[0][:, None], places[1]]
        drawn = fitted < len(_CLASSES)
        pixels = np.where(drawn[..., None], _COLORS[np.where(drawn, fitted, 0)], np.uint8(_PAPER))
        pixels[0, 0] = (seed >> 16 & 255, seed >> 8 & 255, seed & 255)
        told = image_format or pb.IMAGE_FORMAT_PNG
        image = pb.Image(format=told, width=self._side, height=self._side, seed=seed)  # type: ignore[arg-type]
        if told == pb.IMAGE_FORMAT_RAW:
            image.data = pixels.tobytes()
        else:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, _FORMATS[told])
            image.data = file.getvalue()
        return image


class _Servicer(pb_grpc.SynthesisServiceServicer):
    # ruff: noqa: N802 - as the contract names them

    def __init__(self, fake: FakeService) -> None:
        self._fake = fake

    def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelsResponse:
        self._fake._take(request, context)
        return pb.ListModelsResponse(models=self._fake._models)

    def GetModel(self, request: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:
        self._fake._take(request, context)
        return pb.GetModelResponse(model=self._fake._named(request.name, context))

    def Synthesize(
        self, request: pb.SynthesizeRequest, context: grpc.ServicerContext
    ) -> pb.SynthesizeResponse:
        self._fake._take(request, context)
        return pb.SynthesizeResponse(images=self._images(request, context), model_version=VERSION)

    def SynthesizeStream(
        self, request: pb.SynthesizeRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.SynthesizeStreamResponse]:
        self._fake._take(request, context)
        for index, image in enumerate(self._images(request, context)):
            yield pb.SynthesizeStreamResponse(index=index, image=image, model_version=VERSION)

    def Edit(self, request: pb.EditRequest, context: grpc.ServicerContext) -> pb.EditResponse:
        self._fake._take(request, context)
        self._fake._named(request.model, context)
        image = _of_source(
            request, self._fake._image(_ids(request.target_label_map), request.seed, request.image_format)
        )
        return pb.EditResponse(image=image, model_version=VERSION)

    def EncodeStyles(
        self, request: pb.EncodeStylesRequest, context: grpc.ServicerContext
    ) -> pb.EncodeStylesResponse:
        self._fake._take(request, context)
        self._fake._named(request.model, context)
        codes = [
            pb.StyleCode(
                model=request.model,
                model_version=VERSION,
                class_id=int(each),
                values=[float(each)] * _CODE_SIZE,
                covered_class_ids=[int(each)],
            )
            for each in np.unique(_ids(request.label_map))
        ]
        return pb.EncodeStylesResponse(codes=codes, model_version=VERSION)

    def ReadLabelMap(
        self, request: pb.ReadLabelMapRequest, context: grpc.ServicerContext
    ) -> pb.ReadLabelMapResponse:
        self._fake._take(request, context)
        self._fake._named(request.model, context)
        side = self._fake._side
        ids = np.repeat(np.arange(side) * len(_CLASSES) // side, side).astype(np.uint8).reshape(side, side)
        image = None
        if request.WhichOneof("source") != "picture":
            image = _of_source(request, self._fake._image(ids, request.seed, request.image_format))
        return pb.ReadLabelMapResponse(
            label_map=_label_map(ids, request.label_map_encoding), image=image, model_version=VERSION
        )

    def Morph(self, request: pb.MorphRequest, context: grpc.ServicerContext) -> Iterator[pb.MorphResponse]:
        self._fake._take(request, context)
        self._fake._named(request.model, context)
        last = request.last_position if request.HasField("last_position") else 1.0
        positions = np.linspace(request.first_position, last, request.number_of_frames)
        for index, position in enumerate(positions):
            image = self._fake._image(_ids(request.label_map), request.seed, request.image_format)
            yield pb.MorphResponse(index=index, position=position, image=image, model_version=VERSION)

    def Paint(
        self, requests: Iterator[pb.PaintRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.PaintResponse]:
        start, ids, seed = pb.PaintStart(), np.zeros((1, 1), np.uint8), 0
        for request in requests:
            self._fake._take(request, context)
            if request.HasField("start"):
                start, seed = request.start, request.start.seed
                self._fake._named(start.model, context)
                ids = _ids(start.label_map if start.HasField("label_map") else start.scribble)
            elif request.update.HasField("seed"):
                seed = request.update.seed
            if request.update.HasField("label_map"):
                ids = _ids(request.update.label_map)
            image = self._fake._image(ids, seed, start.image_format)
            yield pb.PaintResponse(sequence=request.update.sequence, image=image, model_version=VERSION)

    def _images(self, request: pb.SynthesizeRequest, context: grpc.ServicerContext) -> list[pb.Image]:
        self._fake._named(request.model, context)
        first, count = request.seed, max(1, request.number_of_images, len(request.seeds.values))
        seeds = list(request.seeds.values) or [(first + index) % 2**32 for index in range(count)]
        kind = request.WhichOneof("condition")
        ids = _ids(getattr(request, kind)) if kind in ("label_map", "scribble") else np.full((1, 1), _PAPER)
        return [self._fake._image(ids.astype(np.uint8), seed, request.image_format) for seed in seeds]


def _of_source(request: pb.EditRequest | pb.ReadLabelMapRequest, image: pb.Image) -> pb.Image:
    """The image as the service tells of it: what a latent gives has no seed."""
    if request.WhichOneof("source") == "latent":
        image.ClearField("seed")
    return image


def _ids(message: pb.LabelMap | pb.Scribble) -> NDArray[np.uint8]:
    """The class ids, 255 where nothing is drawn; strokes are not drawn."""
    kind = message.WhichOneof("encoding")
    if kind == "png":
        with Image.open(io.BytesIO(message.png)) as image:
            return np.asarray(image, np.uint8)
    if kind == "raw":
        return np.frombuffer(message.raw.data, np.uint8).reshape(message.raw.height, message.raw.width)
    if kind == "run_length":
        runs = message.run_length
        ids = np.repeat(np.array(runs.class_ids, np.uint8), np.array(runs.lengths, np.intp))
        return ids.reshape(runs.height, runs.width)
    return np.full((1, 1), _PAPER, np.uint8)


def _label_map(ids: NDArray[np.uint8], encoding: int) -> pb.LabelMap:
    height, width = ids.shape
    if encoding == pb.LABEL_MAP_ENCODING_RAW:
        return pb.LabelMap(raw=pb.RawLabelMap(data=ids.tobytes(), width=width, height=height))
    if encoding == pb.LABEL_MAP_ENCODING_RUN_LENGTH:
        lengths = [1] * ids.size
        runs = pb.RunLengthLabelMap(
            class_ids=ids.ravel().tolist(), lengths=lengths, width=width, height=height
        )
        return pb.LabelMap(run_length=runs)
    image = Image.fromarray(ids)
    image.putpalette(_COLORS.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return pb.LabelMap(png=file.getvalue())


def _model(name: str, side: int) -> pb.Model:
    kinds = (
        pb.CONDITION_KIND_LABEL_MAP,
        pb.CONDITION_KIND_SKETCH,
        pb.CONDITION_KIND_SCRIBBLE,
        pb.CONDITION_KIND_EXEMPLAR,
    )
    many = 2**20
    return pb.Model(
        name=name,
        title=name,
        description="A model that only tests have.",
        version=VERSION,
        available_versions=[VERSION],
        palette=[
            pb.PaletteEntry(id=number, name=each, title=each, color=color)
            for number, (each, color) in enumerate(_CLASSES)
        ],
        conditions=[pb.ConditionSupport(kind=kind, width=side, height=side) for kind in kinds],
        image_width=side,
        image_height=side,
        latent_size=8,
        latent_scale=1,
        styles=pb.StyleSupport(
            style_size=_CODE_SIZE,
            styles=[pb.StyleClasses(class_ids=[number]) for number in range(len(_CLASSES))],
        ),
        reading=pb.ReadingSupport(pictures=True, seeds=True),
        editing=pb.EditSupport(pictures=True, default_blend_width=2, max_blend_width=8),
        limits=pb.Limits(
            max_images=16,
            max_label_map_width=4096,
            max_label_map_height=4096,
            max_label_map_pixels=16 * many,
            max_png_bytes=16 * many,
            max_request_bytes=16 * many,
            max_strokes=256,
            max_stroke_points=4096,
            max_stroke_width=1024,
            max_stroke_pixels=64 * many,
            max_picture_bytes=16 * many,
            max_morph_frames=256,
            max_morph_position=4,
            max_blend_styles=16,
            max_style_weight=4,
            max_style_value=100,
            max_style_seeds=16,
        ),
    )
