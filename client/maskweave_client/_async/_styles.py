"""The calls that are about styles."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from maskweave_client._async._connection import AsyncConnection
from maskweave_client._requests import ImageFormat, LabelMap, Priority
from maskweave_client._results import MorphFrame, morph_frame_from_proto
from maskweave_client._style_requests import MorphPath, SourceImage, encode_styles_request, morph_request
from maskweave_client._styles import Style, StyleCode, code_from_proto


class AsyncStyleCalls(AsyncConnection):
    """What a client can do with styles."""

    async def encode_styles(
        self,
        model: str,
        image: SourceImage,
        label_map: LabelMap,
        *,
        sample_seed: int | None = None,
        priority: Priority = "interactive",
        model_version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> dict[int, StyleCode]:
        """Read the looks of an image: one code for each style that its label map has.

        Codes are good for `styles` of `synthesize` and `synthesize_stream`, and for `morph`.

        Args:
            model: Name of a model with styles.
            image: RGB, uint8 `[height, width, 3]`, an image without transparency, or a PNG or JPEG file.
                Exactly of the model's size.
            label_map: Which class each of its pixels is of, `[height, width]`: a 2-D array of class ids, an
                image of mode P, L or 1, or a PNG file. Exactly of the model's size.
            sample_seed: Takes a sample of what the model reads, a variation of the look; the mean when None.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            model_version: One of `Model.available_versions`; the service's default when empty.
            timeout: Seconds to wait; the client's default when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The codes by class id. Classes that share a style have one code, under the lowest of them that the
            label map has; `StyleCode.covered_class_ids` names all.

        Raises:
            InvalidRequest: The model has no styles, or the image or the label map is not of its size.
            MaskweaveError: The call failed otherwise; see its other subclasses.
            ValueError: An argument cannot be what it is meant to be.
            TypeError: The image or the label map is of none of the types allowed.
        """
        request = encode_styles_request(
            model,
            image,
            label_map,
            sample_seed=sample_seed,
            priority=priority,
            model_version=model_version,
        )
        reply = await self._call(self._stub.EncodeStyles, request, timeout, request_id)
        return {code.class_id: code_from_proto(code) for code in reply.codes}

    def morph(
        self,
        model: str,
        label_map: LabelMap,
        from_styles: Mapping[int, Style] | None,
        to_styles: Mapping[int, Style] | None,
        *,
        number_of_frames: int,
        first_position: float = 0.0,
        last_position: float = 1.0,
        path: MorphPath = "linear",
        seed: int | None = None,
        latent: NDArray[Any] | Sequence[float] | None = None,
        image_format: ImageFormat = "png",
        quality: int | None = None,
        priority: Priority = "interactive",
        model_version: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[MorphFrame, None]:
        """Make images on the way from some styles to others, and yield them in order, as they are ready.

        The request is sent when the first frame is asked for. Closing the generator cancels what is left.

        Args:
            model: Name of a model with styles.
            label_map: What every frame follows: a 2-D array of class ids, an image of mode P, L or 1, or a
                PNG file.
            from_styles: How classes look at position 0, by class id. A class that is only in one of the two
                looks, at the other end, as the seed decides.
            to_styles: How classes look at position 1.
            number_of_frames: How many frames, at most `Limits.max_morph_frames`.
            first_position: Position of the first frame; below 0 and above 1 the way goes beyond the ends.
            last_position: Position of the last frame; the others lie evenly between.
            path: `linear`, or `spherical` for the arc between the directions of the codes (slerp).
            seed: Decides how classes without styles look. Random when neither seed nor latent is given.
            latent: The same as numbers, float `[latent_size]`.
            image_format: Format in which the images travel.
            quality: 1 to 100, for jpeg and webp.
            priority: `interactive` goes first when the service is busy; `batch` for what nobody waits for.
            model_version: One of `Model.available_versions`; the service's default when empty.
            timeout: Seconds that all of it may take; the client's default when None.
            request_id: Your id of the request, for the service's log.

        Returns:
            The frames, in order.

        Raises:
            InvalidRequest: The model has no styles, or one that is given is not allowed; see `violations`.
            MaskweaveError: The call failed otherwise; see its other subclasses.
            ValueError: An argument cannot be what it is meant to be.
            TypeError: The label map is of none of the types allowed, or something else is not a style.
        """
        request = morph_request(
            model,
            label_map,
            from_styles,
            to_styles,
            number_of_frames=number_of_frames,
            first_position=first_position,
            last_position=last_position,
            path=path,
            seed=seed,
            latent=latent,
            image_format=image_format,
            quality=quality,
            priority=priority,
            model_version=model_version,
        )
        return self._stream(self._stub.Morph, morph_frame_from_proto, request, timeout, request_id)
