"""Requests with one thing wrong each, and what the service must say about it."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from service.core.limits import LIMITS
from tests.support.png import SIGNATURE, chunk, header, one_channel_png

GOOD_PNG = one_channel_png([[0, 1], [2, 3]])


def pillow_png(mode: str, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG as Pillow writes it."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def raw(data: bytes, width: int, height: int) -> pb.LabelMap:
    """An uncompressed label map."""
    return pb.LabelMap(raw=pb.RawLabelMap(data=data, width=width, height=height))


def runs(class_ids: list[int], lengths: list[int], width: int, height: int) -> pb.LabelMap:
    """A run-length encoded label map."""
    return pb.LabelMap(
        run_length=pb.RunLengthLabelMap(class_ids=class_ids, lengths=lengths, width=width, height=height)
    )


def png(data: bytes) -> pb.SynthesizeRequest:
    """A request with this file."""
    return request(label_map=pb.LabelMap(png=data))


def request(**fields: object) -> pb.SynthesizeRequest:
    """A good request, changed."""
    message = pb.SynthesizeRequest(model="faces64", label_map=raw(bytes(4), 2, 2))
    message.MergeFrom(pb.SynthesizeRequest(**fields))  # type: ignore[arg-type]
    return message


@dataclass(frozen=True)
class Case:
    """A request, the field at fault, and parts of what is said to have been sent and to be allowed."""

    name: str
    request: pb.SynthesizeRequest
    field: str
    value: str
    allowed: str


HUGE = header(50_000, 50_000, 1) + chunk(b"IDAT") + chunk(b"IEND")
ANIMATED = one_channel_png([[0]], extra=chunk(b"acTL", struct.pack(">II", 1, 0)))
TOO_MUCH = header(2, 2) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND")
TOO_LITTLE = header(2, 2) + chunk(b"IDAT", zlib.compress(bytes(3))) + chunk(b"IEND")
BAD_CHECKSUM = GOOD_PNG[:-16] + bytes([GOOD_PNG[-16] ^ 1]) + GOOD_PNG[-15:]
BAD_FILTER = header(1, 1) + chunk(b"IDAT", zlib.compress(b"\x09\x00")) + chunk(b"IEND")
BAD_ZLIB = header(1, 1) + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND")
WHOLE = "a complete PNG"
ONE_CHANNEL = "one channel, palette or greyscale without alpha, of at most 8 bits"
MANY = LIMITS.max_images + 1

CASES = [
    Case("no_condition", pb.SynthesizeRequest(model="faces64"), "condition", "no condition", "label_map"),
    Case(
        "no_encoding",
        pb.SynthesizeRequest(model="faces64", label_map=pb.LabelMap()),
        "label_map",
        "no encoding",
        "png, raw, run_length",
    ),
    Case(
        "no_model",
        pb.SynthesizeRequest(label_map=raw(b"\0", 1, 1)),
        "model",
        "an empty name",
        "faces64, slow",
    ),
    # PNG
    Case("png_empty", png(b""), "label_map.png", "0 bytes", ONE_CHANNEL),
    Case("png_jpeg", png(b"\xff\xd8\xff\xe0" + bytes(99)), "label_map.png", "a JPEG file", ONE_CHANNEL),
    Case("png_rgb", png(pillow_png("RGB")), "label_map.png", "colour type RGB with 8 bits", ONE_CHANNEL),
    Case("png_rgba", png(pillow_png("RGBA")), "label_map.png", "colour type RGBA", ONE_CHANNEL),
    Case("png_grey_alpha", png(pillow_png("LA")), "label_map.png", "greyscale with alpha", ONE_CHANNEL),
    Case("png_16_bit", png(pillow_png("I;16")), "label_map.png", "greyscale with 16 bits", ONE_CHANNEL),
    Case(
        "png_unknown_colour", png(header(1, 1, 8, 5)), "label_map.png", "unknown colour type 5", ONE_CHANNEL
    ),
    Case("png_3_bit", png(header(1, 1, 3)), "label_map.png", "3 bits", ONE_CHANNEL),
    Case("png_animated", png(ANIMATED), "label_map.png", "an animated PNG", ONE_CHANNEL),
    Case("png_signature_only", png(SIGNATURE), "label_map.png", "cut off in its header", WHOLE),
    Case(
        "png_no_header", png(SIGNATURE + bytes(40)), "label_map.png", "does not start with its header", WHOLE
    ),
    Case(
        "png_truncated",
        png(GOOD_PNG[:-20]),
        "label_map.png",
        f"cut off after {len(GOOD_PNG) - 20} bytes",
        WHOLE,
    ),
    Case("png_no_end", png(GOOD_PNG[:-12]), "label_map.png", "before its end chunk", WHOLE),
    Case("png_checksum", png(BAD_CHECKSUM), "label_map.png", "wrong checksum in the chunk IDAT", WHOLE),
    Case("png_bad_zlib", png(BAD_ZLIB), "label_map.png", "damaged pixel data", WHOLE),
    Case("png_bad_filter", png(BAD_FILTER), "label_map.png", "cannot be decoded", WHOLE),
    Case("png_missing_rows", png(TOO_LITTLE), "label_map.png", "3 bytes of pixel data", "complete"),
    Case("png_bomb_in_data", png(TOO_MUCH), "label_map.png", "more bytes of pixel data", "complete"),
    Case(
        "png_bomb_in_size",
        png(HUGE),
        "label_map.png",
        "50000 x 50000 pixels",
        f"1 to {LIMITS.max_side} pixels",
    ),
    Case(
        "png_too_wide",
        png(header(LIMITS.max_side + 1, 1)),
        "label_map.png",
        f"{LIMITS.max_side + 1} x 1",
        "1 to",
    ),
    Case(
        "png_too_many_pixels",
        png(header(LIMITS.max_side, LIMITS.max_side)),
        "label_map.png",
        f"{LIMITS.max_side} x {LIMITS.max_side}",
        f"at most {LIMITS.max_pixels} in all",
    ),
    Case("png_no_pixels", png(header(0, 5)), "label_map.png", "0 x 5 pixels", "1 to"),
    Case(
        "png_too_many_bytes",
        png(GOOD_PNG + bytes(LIMITS.max_encoded_bytes)),
        "label_map.png",
        f"{len(GOOD_PNG) + LIMITS.max_encoded_bytes} bytes",
        f"at most {LIMITS.max_encoded_bytes} bytes",
    ),
    Case(
        "png_id_outside_palette",
        png(one_channel_png([[0, 1, 2], [3, 4, 200]])),
        "label_map.png",
        "class id 200 at pixel (x=2, y=1)",
        "class ids 0 to 7",
    ),
    # raw
    Case(
        "raw_short",
        request(label_map=raw(bytes(3), 2, 2)),
        "label_map.raw.data",
        "3 bytes",
        "exactly 4 bytes",
    ),
    Case(
        "raw_long", request(label_map=raw(bytes(5), 2, 2)), "label_map.raw.data", "5 bytes", "exactly 4 bytes"
    ),
    Case("raw_negative", request(label_map=raw(bytes(4), -2, -2)), "label_map.raw", "-2 x -2 pixels", "1 to"),
    Case(
        "raw_huge",
        request(label_map=raw(b"", 2**31 - 1, 2**31 - 1)),
        "label_map.raw",
        "2147483647 x 2147483647",
        "1 to",
    ),
    Case(
        "raw_id_outside_palette",
        request(label_map=raw(b"\0\0\x08\0", 2, 2)),
        "label_map.raw",
        "class id 8 at pixel (x=0, y=1)",
        "class ids 0 to 7",
    ),
    # run length
    Case(
        "runs_uneven",
        request(label_map=runs([0, 1], [4], 2, 2)),
        "label_map.run_length.lengths",
        "1 lengths",
        "as many as class_ids, 2",
    ),
    Case(
        "runs_too_few_pixels",
        request(label_map=runs([0, 1], [1, 2], 2, 2)),
        "label_map.run_length.lengths",
        "3 pixels in all",
        "exactly 4",
    ),
    Case(
        "runs_too_many_pixels",
        request(label_map=runs([0] * 3, [2**32 - 1] * 3, 2, 2)),
        "label_map.run_length.lengths",
        f"{3 * (2**32 - 1)} pixels in all",
        "exactly 4",
    ),
    Case(
        "runs_empty_run",
        request(label_map=runs([0, 1], [4, 0], 2, 2)),
        "label_map.run_length.lengths[1]",
        "got 0",
        "at least 1",
    ),
    Case(
        "runs_id_over_a_byte",
        request(label_map=runs([0, 256], [2, 2], 2, 2)),
        "label_map.run_length.class_ids[1]",
        "got 256",
        "0 to 255",
    ),
    Case(
        "runs_id_outside_palette",
        request(label_map=runs([0, 9], [3, 1], 2, 2)),
        "label_map.run_length",
        "class id 9 at pixel (x=1, y=1)",
        "class ids 0 to 7",
    ),
    Case("runs_none", request(label_map=runs([], [], 2, 2)), "label_map.run_length.lengths", "0 pixels", "4"),
    # number of images, starts
    Case("no_images", request(number_of_images=0), "number_of_images", "0 images", "1 to 16 images"),
    Case("negative_images", request(number_of_images=-1), "number_of_images", "-1 images", "1 to 16 images"),
    Case(
        "many_images", request(number_of_images=MANY), "number_of_images", f"{MANY} images", "1 to 16 images"
    ),
    Case("no_seeds", request(seeds=pb.SeedList()), "seeds.values", "0 images", "1 to 16 images"),
    Case(
        "many_seeds",
        request(seeds=pb.SeedList(values=range(MANY))),
        "seeds.values",
        f"{MANY} images",
        "1 to 16",
    ),
    Case(
        "seeds_disagree",
        request(seeds=pb.SeedList(values=[1, 2]), number_of_images=3),
        "number_of_images",
        "got 3",
        "unset, or 2",
    ),
    Case("no_latents", request(latents=pb.LatentList()), "latents.latents", "0 images", "1 to 16 images"),
    Case(
        "latent_size",
        request(latents=pb.LatentList(latents=[pb.Latent(values=[0.0] * 99)])),
        "latents.latents[0].values",
        "99 numbers",
        "exactly 100",
    ),
    Case(
        "latent_not_finite",
        request(latents=pb.LatentList(latents=[pb.Latent(values=[0.0] * 98 + [float("nan"), 0.0])])),
        "latents.latents[0].values[98]",
        "nan",
        "finite numbers",
    ),
    # style strength and output
    Case("weak_style", request(style_strength=-0.5), "style_strength", "-0.5", "0 to 1"),
    Case("strong_style", request(style_strength=1.5), "style_strength", "1.5", "0 to 1"),
    Case("style_not_a_number", request(style_strength=float("nan")), "style_strength", "nan", "0 to 1"),
    Case("unknown_format", request(image_format=99), "image_format", "99", "IMAGE_FORMAT_PNG"),
    Case("unknown_priority", request(priority=7), "priority", "7", "PRIORITY_INTERACTIVE, PRIORITY_BATCH"),
    Case(
        "quality_zero",
        request(image_format=pb.IMAGE_FORMAT_JPEG, image_quality=0),
        "image_quality",
        "got 0",
        "1 to 100",
    ),
    Case(
        "quality_high",
        request(image_format=pb.IMAGE_FORMAT_WEBP, image_quality=101),
        "image_quality",
        "got 101",
        "1 to 100",
    ),
    Case(
        "quality_of_png",
        request(image_quality=90),
        "image_quality",
        "got 90",
        "unset for PNG; only JPEG and WEBP",
    ),
]
