"""The client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._async._edits import AsyncEditCalls
from maskweave_client._async._paint import AsyncPaintSession
from maskweave_client._async._reading import AsyncReadingCalls
from maskweave_client._async._styles import AsyncStyleCalls
from maskweave_client._async_transport import AsyncPaintCall
from maskweave_client._channel import metadata
from maskweave_client._conditions import Conditions, ProxyMask, Scribble, Sketch
from maskweave_client._models import Model, model_from_proto
from maskweave_client._paint_requests import PaintedEdit, paint_start
from maskweave_client._requests import ImageFormat, LabelMap, Priority
from maskweave_client._results import Result, StreamedImage, result_from_proto, streamed_from_proto
from maskweave_client._style_requests import SourceImage
from maskweave_client._styles import Style, styles_to_proto
from maskweave_client._synthesis_requests import synthesize_request


class AsyncClient(AsyncStyleCalls, AsyncEditCalls, AsyncReadingCalls):
    """Talks to a Maskweave service from one event loop. Close it, or use it in an `async with`.

    Args:
        target: The service's address, `host:port`, or any other target that gRPC resolves.
        credentials: For TLS; without them the connection is not encrypted.
        timeout: Seconds that a call may take unless it says otherwise.
        retry: How often a call is tried when the service is too busy or cannot be reached; None for once.
        channel: A channel to use in place of one made here, for tests and special needs. The client
            closes it. Whether gRPC itself tries calls again is then the channel's matter.
        api_key: Key that goes with every call, for services that ask for one.
        allow_insecure_key: Send the key without TLS to other machines too, for where something else encrypts.

    Raises:
        ValueError: The key would go to another machine without TLS, or is not one.
        RuntimeError: From its methods: no event loop runs, another one than before does, or it is closed.
    """

    async def __aenter__(self) -> AsyncClient:
        return self

    async def models(self, *, timeout: float | None = None) -> tuple[Model, ...]:
        """All models of the service, ordered by name.

        Raises:
            MaskweaveError: The call failed; see its subclasses.
        """
        models: list[Model] = []
        token = ""
        while True:
            page = await self._call(
                self._stub.ListModels, pb.ListModelsRequest(page_token=token), timeout, None
            )
            models += map(model_from_proto, page.models)
            token = page.next_page_token
            if not token:
                return tuple(models)

    async def model(self, name: str, *, version: str = "", timeout: float | None = None) -> Model:
        """One model, with its palette and limits; in the service's default version, or in the one named.

        Raises:
            NotFound: There is no such model, or not in that version.
            MaskweaveError: The call failed; see its subclasses.
        """
        request = pb.GetModelRequest(name=name, version=version)
        reply = await self._call(self._stub.GetModel, request, timeout, None)
        return model_from_proto(reply.model)

    async def synthesize(
        self,
        model: str,
        label_map: LabelMap | None = None,
        *,
        sketch: Sketch | None = None,
        scribble: Scribble | LabelMap | None = None,
        proxy_mask: ProxyMask | None = None,
        exemplar: SourceImage | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
        latents: NDArray[Any] | Sequence[Sequence[float]] | None = None,
        number_of_images: int | None = None,
        style_strength: float | None = None,
        image_format: ImageFormat = "png",
        quality: int | None = None,
        priority: Priority = "interactive",
        model_version: str = "",
        styles: Mapping[int, Style] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Result:
        """Make images that follow a condition: a label map, or another kind that the model accepts.

        Args:
            model: Name of the model, for example `faces64`.
            label_map: A 2-D array of class ids, an image of mode P, L or 1, or a PNG file.
            sketch: Dark ink on a light or transparent ground: greys `[height, width]` (0 is full ink), RGB or
                RGBA, an image, or a PNG or JPEG file.
            scribble: Strokes, or a label map in which 255 stands for what is not drawn.
            proxy_mask: Cluster ids, of exactly the size of the model's proxy masks; otherwise as `label_map`.
            exemplar: An image whose structure is taken over: RGB, uint8 `[height, width, 3]`, an image
                without transparency, or a PNG or JPEG file.
            seed: Seed of the first image; further ones count up from it. Random when neither seeds nor
                latents are given.
            seeds: One seed per image.
            latents: One latent per image, float `[images, latent_size]`.
            number_of_images: How many images; 1, or one per seed or latent, when None.
            style_strength: Weight of the seed's or latent's style against the condition; the model's default
                when None.
            image_format: Format in which the images travel.
            quality: 1 to 100, for jpeg and webp.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            model_version: One of `Model.available_versions`; the service's default when empty.
            styles: How classes look, by class id, for models with styles; as the seed decides when left out.
            timeout: Seconds to wait; the client's default when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The images, in the order of their seeds or latents.

        Raises:
            MaskweaveError: The call failed; see its subclasses.
            ValueError: An argument cannot be what it is meant to be, or there is not exactly one condition.
            TypeError: The condition is of none of the types allowed, or something else is not a number.
        """
        request = synthesize_request(
            model,
            Conditions(label_map, sketch, scribble, proxy_mask, exemplar),
            seed=seed,
            seeds=seeds,
            latents=latents,
            number_of_images=number_of_images,
            style_strength=style_strength,
            image_format=image_format,
            quality=quality,
            priority=priority,
            model_version=model_version,
            styles=styles_to_proto("styles", styles),
        )
        return result_from_proto(await self._call(self._stub.Synthesize, request, timeout, request_id))

    def synthesize_stream(
        self,
        model: str,
        label_map: LabelMap | None = None,
        *,
        sketch: Sketch | None = None,
        scribble: Scribble | LabelMap | None = None,
        proxy_mask: ProxyMask | None = None,
        exemplar: SourceImage | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
        latents: NDArray[Any] | Sequence[Sequence[float]] | None = None,
        number_of_images: int | None = None,
        style_strength: float | None = None,
        image_format: ImageFormat = "png",
        quality: int | None = None,
        priority: Priority = "interactive",
        model_version: str = "",
        styles: Mapping[int, Style] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[StreamedImage, None]:
        """Make the same images as `synthesize` and yield each as soon as it is ready.

        The request is sent when the first image is asked for. Closing the generator cancels what is left.

        Args:
            model: Name of the model, for example `faces64`.
            label_map: A 2-D array of class ids, an image of mode P, L or 1, or a PNG file.
            sketch: Dark ink on a light or transparent ground: greys `[height, width]` (0 is full ink), RGB or
                RGBA, an image, or a PNG or JPEG file.
            scribble: Strokes, or a label map in which 255 stands for what is not drawn.
            proxy_mask: Cluster ids, of exactly the size of the model's proxy masks; otherwise as `label_map`.
            exemplar: An image whose structure is taken over: RGB, uint8 `[height, width, 3]`, an image
                without transparency, or a PNG or JPEG file.
            seed: Seed of the first image; further ones count up from it. Random when neither seeds nor
                latents are given.
            seeds: One seed per image.
            latents: One latent per image, float `[images, latent_size]`.
            number_of_images: How many images; 1, or one per seed or latent, when None.
            style_strength: Weight of the seed's or latent's style against the condition; the model's default
                when None.
            image_format: Format in which the images travel.
            quality: 1 to 100, for jpeg and webp.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            model_version: One of `Model.available_versions`; the service's default when empty.
            styles: How classes look, by class id, for models with styles; as the seed decides when left out.
            timeout: Seconds to wait; the client's default when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The images as they become ready; `StreamedImage.index` tells which is which.

        Raises:
            MaskweaveError: The call failed; see its subclasses.
            ValueError: An argument cannot be what it is meant to be, or there is not exactly one condition.
            TypeError: The condition is of none of the types allowed, or something else is not a number.
        """
        request = synthesize_request(
            model,
            Conditions(label_map, sketch, scribble, proxy_mask, exemplar),
            seed=seed,
            seeds=seeds,
            latents=latents,
            number_of_images=number_of_images,
            style_strength=style_strength,
            image_format=image_format,
            quality=quality,
            priority=priority,
            model_version=model_version,
            styles=styles_to_proto("styles", styles),
        )
        return self._stream(self._stub.SynthesizeStream, streamed_from_proto, request, timeout, request_id)

    def paint(
        self,
        model: str,
        label_map: LabelMap | None = None,
        *,
        sketch: Sketch | None = None,
        scribble: Scribble | LabelMap | None = None,
        seed: int | None = None,
        latent: NDArray[Any] | Sequence[float] | None = None,
        style_strength: float | None = None,
        image_format: ImageFormat = "png",
        quality: int | None = None,
        priority: Priority = "interactive",
        styles: Mapping[int, Style] | None = None,
        edit: PaintedEdit | None = None,
        model_version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncPaintSession:
        """Open a canvas that strokes and other updates change, and of which images come back.

        For interactive tools: the images ("frames") are always of the latest canvas, so that there may be
        fewer of them than updates.

        Args:
            model: Name of the model, for example `faces64`.
            label_map: The canvas to begin with: a 2-D array of class ids, an image of mode P, L or 1, or a
                PNG file. Its size is the canvas's for the whole session.
            sketch: The canvas as a sketch, in its place: greys `[height, width]` (0 is full ink), an image,
                or a PNG or JPEG file. It may be empty.
            scribble: The canvas as a scribble, in its place: strokes, or a label map in which 255 stands for
                what is not drawn. It may be empty.
            seed: Seed of the images, until an update changes it. Random when neither seed nor latent is
                given.
            latent: Latent of the images, float `[latent_size]`.
            style_strength: Weight of the seed's or latent's style against the label map; the model's default
                when None.
            image_format: Format in which the images travel.
            quality: 1 to 100, for jpeg and webp.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            styles: How classes look, until an update changes it; for models with styles. Those of classes
                that the canvas does not have count once it has them.
            edit: Paint an edit: the canvas is its target label map.
            model_version: One of `Model.available_versions`; the service's default when empty.
            timeout: Seconds that the session may last; for as long as updates come when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The session. The failures of the call are raised where it is used.

        Raises:
            ValueError: An argument cannot be what it is meant to be.
            TypeError: The canvas is of none of the types allowed, or something else is not a number.
        """
        start = paint_start(
            model,
            label_map,
            sketch=sketch,
            scribble=scribble,
            seed=seed,
            latent=latent,
            style_strength=style_strength,
            image_format=image_format,
            quality=quality,
            priority=priority,
            styles=styles,
            edit=edit,
            model_version=model_version,
        )
        call = AsyncPaintCall(self._transport, timeout, metadata(self._api_key, request_id))

        async def fit(message: pb.PaintStart | pb.PaintUpdate) -> None:
            await self._fit(message, self._attempts(timeout), (model, model_version))

        return AsyncPaintSession(call, start, fit)
