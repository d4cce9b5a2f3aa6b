"""The call that edits images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from maskweave_client._async._connection import AsyncConnection
from maskweave_client._edit_requests import edit_request
from maskweave_client._requests import ImageFormat, LabelMap, Priority
from maskweave_client._results import Result, edit_result_from_proto
from maskweave_client._style_requests import SourceImage


class AsyncEditCalls(AsyncConnection):
    """What a client can edit."""

    async def edit(
        self,
        model: str,
        image_or_seed: SourceImage | int | None,
        target: LabelMap,
        *,
        source: LabelMap | None = None,
        latent: NDArray[Any] | Sequence[float] | None = None,
        style_strength: float | None = None,
        blend_width: float | None = None,
        image_format: ImageFormat = "png",
        quality: int | None = None,
        priority: Priority = "interactive",
        model_version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Result:
        """Give an image the shape of a label map, and keep who it is and its colours.

        With `source`, the label map that the image has now, only what is different in `target` is made
        anew; beyond a soft edge around that the image stays as it was, bit for bit. Without, all is made
        anew.

        Args:
            model: Name of a model that can be edited, for example `faces64`.
            image_or_seed: What is edited. An image of exactly the model's size: RGB, uint8 `[height,
                width, 3]`, an image without transparency, or a PNG or JPEG file. Or an integer: the
                image that `synthesize` makes of this seed and `source`.
            target: What the image is to show: a 2-D array of class ids, an image of mode P, L or 1, or a PNG
                file.
            source: What it shows now, in the same forms.
            latent: In place of a seed, float `[latent_size]`; `image_or_seed` is None then.
            style_strength: Weight of the image's style against `target`; the model's default when None.
            blend_width: Width of the soft edge, in pixels of the image; the model's default when None.
            image_format: Format in which the result travels.
            quality: 1 to 100, for jpeg and webp.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            model_version: One of `Model.available_versions`; the service's default when empty.
            timeout: Seconds to wait; the client's default when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The one image.

        Raises:
            InvalidRequest: The model cannot be edited, or the image is not of its size.
            MaskweaveError: The call failed otherwise; see its other subclasses.
            ValueError: An argument cannot be what it is meant to be, or none or several sources are given.
            TypeError: The image or a label map is of none of the types allowed.
        """
        request = edit_request(
            model,
            image_or_seed,
            target,
            source=source,
            latent=latent,
            style_strength=style_strength,
            blend_width=blend_width,
            image_format=image_format,
            quality=quality,
            priority=priority,
            model_version=model_version,
        )
        return edit_result_from_proto(await self._call(self._stub.Edit, request, timeout, request_id))
