"""The call that reads label maps off images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from maskweave_client._async._connection import AsyncConnection
from maskweave_client._reading_requests import read_label_map_request
from maskweave_client._requests import ImageFormat, Priority
from maskweave_client._results import LabelMapReading, reading_from_proto
from maskweave_client._style_requests import SourceImage


class AsyncReadingCalls(AsyncConnection):
    """What a client can read off images."""

    async def read_label_map(
        self,
        model: str,
        image_or_seed: SourceImage | int | None,
        *,
        latent: NDArray[Any] | Sequence[float] | None = None,
        image_format: ImageFormat = "png",
        quality: int | None = None,
        priority: Priority = "interactive",
        model_version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> LabelMapReading:
        """Read a label map off an image, to begin to draw from.

        With the label map of a seed, and that seed, `synthesize` makes an image near the one that it was read
        off. However well it is read, the answer is a label map; images unlike those that the model makes are
        read worse.

        Args:
            model: Name of a model that reads label maps, for example `faces64`.
            image_or_seed: What it is read off. An image of the kind that the model makes, of any size: one
                beyond the model's limits is made smaller. RGB, uint8 `[height, width, 3]`, an image without
                transparency, or a PNG or JPEG file. Or an integer: the image that the model's generator makes
                of this seed by itself.
            latent: In place of a seed, float `[latent_size]`; `image_or_seed` is None then.
            image_format: Format in which the image of a seed or a latent travels.
            quality: Of that image, 1 to 100, for jpeg and webp.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            model_version: One of `Model.available_versions`; the service's default when empty.
            timeout: Seconds to wait; the client's default when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The label map and, of a seed or a latent, the image.

        Raises:
            InvalidRequest: The model reads no label maps, or none off this; see `Model.reading`.
            MaskweaveError: The call failed otherwise; see its other subclasses.
            ValueError: An argument cannot be what it is meant to be, or none or several sources are given.
            TypeError: The image is of none of the types allowed.
        """
        request = read_label_map_request(
            model,
            image_or_seed,
            latent=latent,
            image_format=image_format,
            quality=quality,
            priority=priority,
            model_version=model_version,
        )
        return reading_from_proto(await self._call(self._stub.ReadLabelMap, request, timeout, request_id))
