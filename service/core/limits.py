"""How much one request may ask for, and how many calls there may be: the one place of either.

Checks read them, `GetModel` reports the first, and the settings have the second as their defaults.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request; both ends are allowed values.

    Attributes:
        min_images: Fewest images of one request.
        max_images: Most images of one request.
        max_encoded_bytes: Largest encoded image (PNG and the like), in bytes.
        min_side: Smallest width or height of a condition, in pixels.
        max_side: Largest width or height of a condition, in pixels.
        max_pixels: Largest width times height of a condition, read from the header before decoding.
        max_seed: Largest seed; the smallest is 0.
        min_quality: Lowest quality of lossy output formats.
        max_quality: Highest quality of lossy output formats.
        max_strokes: Most strokes of one update of a painting, or of one scribble.
        max_stroke_points: Most points of these strokes together.
        min_stroke_width: Narrowest brush, in pixels of the canvas.
        max_stroke_width: Widest brush.
        max_stroke_coordinate: How far from the canvas's corner a point may lie, in pixels, either way.
        max_stroke_pixels: Most pixels that the strokes of one update may go over, together.
        min_sketch_ink: Least ink, of 255, that a sketch's darkest pixel has; with less it is blank.
        max_mean_sketch_ink: Most ink, of 255, that a sketch's pixels have on average.
        max_morph_frames: Most frames of one morph.
        max_morph_position: How far from 0 a position between two styles may lie, either way.
        max_blend_styles: Most styles of one blend.
        max_style_weight: Largest weight of a style in a blend, either way.
        max_style_value: Largest number of a style's code, either way.
        max_style_seeds: Most different seeds in the styles of one request.
        max_blend_width: Widest soft edge of an edit, in pixels of the image; the smallest is 0.
        max_request_id_chars: Longest request id that a caller may choose.
    """

    min_images: int = 1
    max_images: int = 16
    max_encoded_bytes: int = 4 * 2**20
    min_side: int = 1
    max_side: int = 4096
    max_pixels: int = 2048 * 2048
    max_seed: int = 2**32 - 1
    min_quality: int = 1
    max_quality: int = 100
    max_strokes: int = 64
    max_stroke_points: int = 4096
    min_stroke_width: float = 1.0
    max_stroke_width: float = 1024.0
    max_stroke_coordinate: float = 8192.0
    max_stroke_pixels: int = 16 * 2**20
    min_sketch_ink: int = 32
    max_mean_sketch_ink: int = 128
    max_morph_frames: int = 64
    max_morph_position: float = 8.0
    max_blend_styles: int = 16
    max_style_weight: float = 16.0
    max_style_value: float = 1000.0
    max_style_seeds: int = 32
    max_blend_width: float = 64.0
    max_request_id_chars: int = 128

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other.

        Raises:
            ValueError: With them nothing would be allowed; it names both.
        """
        for least, most in _AT_MOST:
            if getattr(self, least) > getattr(self, most):
                raise ValueError(
                    f"{least} {getattr(self, least)} is more than {most} {getattr(self, most)}: nothing fits"
                )


_AT_MOST = (
    ("min_images", "max_images"),
    ("min_side", "max_side"),
    ("min_quality", "max_quality"),
    ("min_stroke_width", "max_stroke_width"),
)
"""Names of limits of which the first cannot be more than the second."""

LIMITS = Limits()
"""The limits of this service."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of the calls of one gateway.

    Attributes:
        concurrent_rpcs: Calls that make images in progress; beyond it new ones are refused. One caller has
            three times as many as are left, at most.
        sessions: Sessions in progress.
        sessions_per_caller: Sessions in progress of one caller.
        pending_messages: Requests that may be on their way.
        pending_messages_per_caller: Requests of one caller that may be on their way.
        pending_checks: Health checks whose message may be on its way; they have places of their own, so that
            neither keeps the other out.
        pending_checks_per_caller: Of one caller.
        watches: Watches of health in progress. One caller has three times as many as are left, at most.
        reflections: Streams of reflection in progress.
        reflections_per_caller: Of one caller.
        check_bytes: Largest message of a health check or of reflection.
        check_seconds: Time within which it must have arrived; a stream of reflection without one for so long
            is over.
        request_memory_bytes: Memory that the requests in progress may hold. One caller has three times as
            much as is left, at most.
        timeout_seconds: Deadline of calls that come without one.
        message_seconds: Time within which a request must have arrived.
    """

    concurrent_rpcs: int = 256
    sessions: int = 64
    sessions_per_caller: int = 32
    pending_messages: int = 32
    pending_messages_per_caller: int = 8
    pending_checks: int = 8
    pending_checks_per_caller: int = 1
    watches: int = 1024
    reflections: int = 8
    reflections_per_caller: int = 2
    check_bytes: int = 4096
    check_seconds: float = 3.0
    request_memory_bytes: int = 256 * 2**20
    timeout_seconds: float = 30.0
    message_seconds: float = 10.0
