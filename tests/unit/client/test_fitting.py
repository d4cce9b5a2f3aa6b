"""Requests made to fit their model: photographs that are too large, and palettes that were renumbered."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import AsyncClient, Client, Limits, NotFound
from maskweave_client._fitting import fit, least_of_blocks, needs_model, renumbered, shrunk_size
from maskweave_client._models import model_from_proto
from tests.support.fake_service import Clock, FakeService, Refusal, serving
from tests.support.turned import ORIENTATIONS, turned_file

COLORS = ("#1f1f1f", "#c83c3c", "#e6b48c", "#784614")
LIMITS = pb.Limits(
    max_images=16,
    max_label_map_width=4096,
    max_label_map_height=4096,
    max_label_map_pixels=2048 * 2048,
    max_png_bytes=4 * 2**20,
    max_request_bytes=16 * 2**20,
    max_picture_bytes=4 * 2**20,
)
MODEL = pb.Model(
    name="m",
    palette=[pb.PaletteEntry(id=i, name=f"c{i}", title="", color=color) for i, color in enumerate(COLORS)],
    conditions=[
        pb.ConditionSupport(kind=kind, width=64, height=64)
        for kind in (pb.CONDITION_KIND_SKETCH, pb.CONDITION_KIND_EXEMPLAR)
    ],
    limits=LIMITS,
)
KNOWN = model_from_proto(MODEL)
RGB = np.array([entry.rgb for entry in KNOWN.palette], np.uint8)
IDS = np.arange(4, dtype=np.uint8).repeat(6).reshape(4, 6)


@pytest.fixture
def service() -> FakeService:
    return FakeService(model=MODEL)


@pytest.fixture
def address(service: FakeService) -> Iterator[str]:
    with serving(service) as served:
        yield served


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=120) as connected:
        yield connected


def painted(
    ids: NDArray[np.uint8], colors: list[tuple[int, int, int]], transparency: bytes | None = None
) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette([part for color in colors for part in color])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def ids_in(message: pb.LabelMap | pb.Scribble) -> NDArray[np.uint8]:
    if message.WhichOneof("encoding") == "raw":
        return np.frombuffer(message.raw.data, np.uint8).reshape(message.raw.height, message.raw.width)
    with Image.open(io.BytesIO(message.png)) as image:
        return np.asarray(image)


def renumber(ids: NDArray[np.uint8], order: list[int]) -> Image.Image:
    """What a program that optimises files may make of it: class `order[i]` has the index i."""
    index = np.argsort(order).astype(np.uint8)
    return painted(index[ids], [KNOWN.palette.entries[class_id].rgb for class_id in order])


@given(order=st.permutations(range(4)), ids=hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 3)))
def test_however_the_palette_is_renumbered_the_ids_are_the_same(
    order: list[int], ids: NDArray[np.uint8]
) -> None:
    image = renumber(ids, order)
    for request in (
        pb.SynthesizeRequest(label_map=pb.LabelMap(png=png(image))),
        pb.SynthesizeRequest(label_map=pb.LabelMap(png=png(image, bits=2))),
    ):
        assert needs_model(request)
        fit(request, KNOWN)
        np.testing.assert_array_equal(ids_in(request.label_map), ids)


@pytest.mark.parametrize("form", ["image", "bytes", "path"])
@pytest.mark.parametrize("call", ["synthesize", "stream", "edit", "morph", "encode_styles", "paint"])
def test_every_call_reads_renumbered_palettes(
    client: Client, service: FakeService, tmp_path: Path, call: str, form: str
) -> None:
    image: Any = renumber(IDS, [2, 0, 3, 1])
    if form != "image":
        (tmp_path / "file.png").write_bytes(png(image))
        image = tmp_path / "file.png" if form == "path" else (tmp_path / "file.png").read_bytes()
    if call == "synthesize":
        client.synthesize("m", image)
    elif call == "stream":
        list(client.synthesize_stream("m", image))
    elif call == "edit":
        client.edit("m", 1, image, source=image)
    elif call == "morph":
        list(client.morph("m", image, {}, {}, number_of_frames=1))
    elif call == "encode_styles":
        client.encode_styles("m", np.zeros((4, 6, 3), np.uint8), image)
    else:
        with client.paint("m", image) as session:
            next(session)
            session.update(label_map=image)
            next(session)
    sent = [request for request in service.requests if not isinstance(request, pb.GetModelRequest)]
    bodies = [
        getattr(request, str(request.WhichOneof("request")))
        if isinstance(request, pb.PaintRequest)
        else request
        for request in sent
    ]
    maps = [value for body in bodies for _, value in body.ListFields() if isinstance(value, pb.LabelMap)]
    assert len(maps) == (2 if call in ("edit", "paint") else 1)
    for each in maps:
        np.testing.assert_array_equal(ids_in(each), IDS)


def test_a_palette_of_other_colours_says_nothing(client: Client, service: FakeService) -> None:
    image = painted(IDS, [(9, 9, 9), *(tuple(color) for color in RGB[:3].tolist())])
    client.synthesize("m", image)
    np.testing.assert_array_equal(ids_in(service.requests[-1].label_map), IDS)


def test_a_file_whose_palette_is_the_models_travels_as_it_is(client: Client, service: FakeService) -> None:
    data = png(KNOWN.palette.color_image(IDS))
    client.synthesize("m", data)
    assert service.requests[-1].label_map.png == data


def test_ids_beyond_the_palette_are_sent_as_ids(client: Client, service: FakeService) -> None:
    ids = np.array([[0, 200]], np.uint8)
    client.synthesize("m", painted(ids, [tuple(color) for color in RGB[::-1].tolist()]))
    np.testing.assert_array_equal(ids_in(service.requests[-1].label_map), ids)


def test_renumbered_scribbles_keep_what_is_not_drawn(client: Client, service: FakeService) -> None:
    ids = np.array([[0, 1, 255], [255, 3, 2]], np.uint8)
    # Class 3, not drawn, class 0, class 1, class 2.
    index = np.array([[2, 3, 1], [1, 0, 4]], np.uint8)
    colors = [tuple(RGB[3].tolist()), (0, 0, 0), *(tuple(color) for color in RGB[:3].tolist())]
    image = painted(index, colors, transparency=bytes([255, 0, 255, 255, 255]))
    client.synthesize("m", scribble=image)
    np.testing.assert_array_equal(ids_in(service.requests[-1].scribble), ids)


def test_scribbles_with_the_models_ids_stay_as_they_are() -> None:
    colors = np.zeros((256, 4), np.uint8)
    colors[:4, :3], colors[:, 3], colors[255] = RGB, 255, (255, 255, 255, 255)
    used = np.array([0, 1, 255], np.uint8)
    assert renumbered(used, colors, KNOWN.palette, scribble=True) is None
    colors[0, 3] = 0  # transparent, and yet a class: its colour is that of its id
    assert renumbered(used, colors, KNOWN.palette, scribble=True) is None


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_renumbered_files_are_read_upright(orientation: int) -> None:
    index = np.asarray(renumber(IDS, [3, 2, 1, 0]))
    with Image.open(io.BytesIO(turned_file(index, orientation))) as lying:
        exif = lying.getexif()
        image = painted(np.asarray(lying), [tuple(RGB[i].tolist()) for i in (3, 2, 1, 0)])
    request = pb.SynthesizeRequest(label_map=pb.LabelMap(png=png(image, exif=exif)))
    fit(request, KNOWN)
    np.testing.assert_array_equal(ids_in(request.label_map), IDS)


@given(st.data())
def test_damaged_files_are_left_to_the_service(data: st.DataObject) -> None:
    whole = bytearray(png(renumber(IDS, [3, 2, 1, 0])))
    cut = data.draw(st.integers(26, len(whole)))
    for place in data.draw(st.lists(st.integers(26, len(whole) - 1), max_size=4)):
        whole[place] ^= data.draw(st.integers(1, 255))
    request = pb.SynthesizeRequest(label_map=pb.LabelMap(png=bytes(whole[:cut])))
    fit(request, KNOWN)  # whatever it is, nothing is raised
    huge = bytearray(whole)
    huge[16:24] = b"\x7f\xff\xff\xff" * 2
    request = pb.SynthesizeRequest(label_map=pb.LabelMap(png=bytes(huge)))
    fit(request, KNOWN)
    assert request.label_map.png == bytes(huge)


def test_a_model_is_asked_for_once_in_a_while(client: Client, service: FakeService) -> None:
    clock = Clock()
    client._transport.clock = clock
    image = KNOWN.palette.color_image(IDS)

    def asked() -> int:
        return sum(isinstance(request, pb.GetModelRequest) for request in service.requests)

    for _ in range(3):
        client.synthesize("m", image)
    assert asked() == 1
    clock.now += 61
    client.synthesize("m", image)
    assert asked() == 2
    client.synthesize("m", IDS)  # bare ids need no palette
    assert asked() == 2


def test_asking_for_the_model_is_tried_again_too(client: Client, service: FakeService) -> None:
    client._transport.pause = Clock().pause  # type: ignore[method-assign]
    service.refusals = [Refusal(retry_info_seconds=0.1)]
    client.synthesize("m", KNOWN.palette.color_image(IDS))
    assert [type(request) for request in service.requests] == [
        pb.GetModelRequest,
        pb.GetModelRequest,
        pb.SynthesizeRequest,
    ]


# Photographs


def photograph(width: int, height: int) -> NDArray[np.uint8]:
    """A face of a kind: a bright disc on a gradient, uint8 `[height, width, 3]`."""
    y, x = np.mgrid[0:height, 0:width]
    disc = ((x - width / 2) ** 2 / width**2 + (y - height / 2) ** 2 / height**2) < 0.09
    red = np.where(disc, 230, x * 100 // width)
    return np.dstack([red, y * 200 // height, np.full_like(red, 60)]).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


PHOTO = photograph(1200, 900)
"""As much too large for `SMALL` as 12 megapixels are for a service as it is."""
SMALL = pb.Model()
SMALL.CopyFrom(MODEL)
SMALL.limits.max_label_map_pixels = 1024 * 1024


@pytest.mark.parametrize("kind", ["exemplar", "sketch"])
def test_a_photograph_of_12_megapixels_is_made_to_fit(
    client: Client, service: FakeService, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "photo.jpg"
    Image.linear_gradient("L").resize((4000, 3000)).convert("RGB").save(path)
    client.synthesize("m", **{kind: path})  # type: ignore[arg-type]
    sent = getattr(service.requests[-1], kind).raw
    assert (sent.width, sent.height) == (341, 256)


@pytest.mark.parametrize("kind", ["exemplar", "sketch"])
@pytest.mark.parametrize("form", ["array", "image", "bytes", "path"])
def test_photographs_are_made_to_fit_in_whatever_form_they_come(
    client: Client, service: FakeService, tmp_path: Path, kind: str, form: str
) -> None:
    service.model = SMALL
    photo_file = tmp_path / "photo.jpg"
    photo_file.write_bytes(jpeg(PHOTO))
    given_as: dict[str, Any] = {
        "array": PHOTO,
        "image": Image.fromarray(PHOTO),
        "bytes": photo_file.read_bytes(),
        "path": photo_file,
    }
    client.synthesize("m", **{kind: given_as[form]})
    sent = getattr(service.requests[-1], kind).raw
    assert (sent.width, sent.height) == (341, 256)  # four times as large as the model reads it, at least
    pixels = np.frombuffer(sent.data, np.uint8).reshape(sent.height, sent.width, -1).astype(int)
    whole = Image.fromarray(PHOTO).resize((341, 256), Image.Resampling.BOX)
    expected = np.asarray(whole.convert("L" if kind == "sketch" else "RGB")).reshape(pixels.shape).astype(int)
    assert np.abs(pixels - expected).mean() < 3


async def test_the_asynchronous_client_shrinks_too(address: str, service: FakeService) -> None:
    service.model = SMALL
    async with AsyncClient(address, timeout=120) as client:
        await client.synthesize("m", exemplar=PHOTO)
        assert [each.index async for each in client.synthesize_stream("m", exemplar=PHOTO)] == [0, 1]
    assert [request.exemplar.raw.width for request in service.requests[1:]] == [341, 341]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_large_photograph_is_shrunk_upright(orientation: int) -> None:
    request = pb.SynthesizeRequest(exemplar=pb.Exemplar(file=turned_file(PHOTO, orientation, "JPEG")))
    fit(request, model_from_proto(SMALL))
    sent = request.exemplar.raw
    assert (sent.width, sent.height) == (341, 256)
    got = np.frombuffer(sent.data, np.uint8).reshape(256, 341, 3).astype(int)
    expected = np.asarray(Image.fromarray(PHOTO).resize((341, 256), Image.Resampling.BOX)).astype(int)
    assert np.abs(got - expected).mean() < 3


def test_what_fits_travels_as_it_is(client: Client, service: FakeService) -> None:
    service.model = SMALL
    file = jpeg(photograph(1000, 900)) + bytes(2**20)
    client.synthesize("m", exemplar=file)
    assert service.requests[-1].exemplar.file == file
    assert len(service.requests) == 2  # it is large enough to ask
    client.synthesize("m", exemplar=jpeg(photograph(640, 480)))
    client.synthesize("m", exemplar=photograph(640, 480))
    assert len(service.requests) == 4  # these are not


def test_thin_lines_stay_whole() -> None:
    greys = np.full((3000, 4000), 255, np.uint8)
    greys[1500], greys[:, 777] = 0, 0
    request = pb.SynthesizeRequest(
        sketch=pb.Sketch(raw=pb.RawSketch(data=greys.tobytes(), width=4000, height=3000))
    )
    fit(request, KNOWN)
    sent = request.sketch.raw
    shrunk = np.frombuffer(sent.data, np.uint8).reshape(sent.height, sent.width)
    assert ((shrunk == 0).all(axis=1)).sum() == 1
    assert ((shrunk == 0).all(axis=0)).sum() == 1


def test_the_ground_of_a_large_transparent_sketch_is_white_paper() -> None:
    layer = np.zeros((1100, 1100, 4), np.uint8)
    layer[500:510, :, 3] = 255
    request = pb.SynthesizeRequest(sketch=pb.Sketch(file=png(Image.fromarray(layer), compress_level=1)))
    fit(request, model_from_proto(SMALL))
    shrunk = np.frombuffer(request.sketch.raw.data, np.uint8)
    assert set(shrunk.tolist()) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "I;16"])
def test_large_images_that_the_service_refuses_are_left_to_it(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (1100, 1100)).save(file, "JPEG" if mode == "CMYK" else "PNG")
    request = pb.SynthesizeRequest(exemplar=pb.Exemplar(file=file.getvalue()))
    fit(request, model_from_proto(SMALL))
    assert request.exemplar.file == file.getvalue()


@settings(max_examples=20)
@given(st.binary(max_size=200), st.booleans())
def test_large_files_that_are_no_images_are_left_to_the_service(head: bytes, is_jpeg: bool) -> None:
    file = (b"\xff\xd8\xff" if is_jpeg else b"") + head + bytes(2**20 + 1)
    request = pb.SynthesizeRequest(exemplar=pb.Exemplar(file=file))
    assert needs_model(request)
    fit(request, KNOWN)
    assert request.exemplar.file == file


@given(
    size=st.tuples(st.integers(1, 60000), st.integers(1, 60000)),
    reads=st.tuples(st.integers(8, 4096), st.integers(8, 4096)),
    sides=st.tuples(st.integers(64, 8192), st.integers(64, 8192)),
    pixels=st.integers(64, 2**26),
    request_bytes=st.integers(2**17, 2**26),
)
def test_shrunk_sizes_are_within_the_limits_and_about_as_wide_as_high(
    size: tuple[int, int], reads: tuple[int, int], sides: tuple[int, int], pixels: int, request_bytes: int
) -> None:
    limits = model_from_proto(
        pb.Model(
            limits=pb.Limits(
                max_label_map_width=sides[0],
                max_label_map_height=sides[1],
                max_label_map_pixels=pixels,
                max_request_bytes=request_bytes,
            )
        )
    ).limits
    assert isinstance(limits, Limits)
    width, height = shrunk_size(size, reads, limits)
    assert 1 <= width <= min(size[0], sides[0])
    assert 1 <= height <= min(size[1], sides[1])
    assert min(width, height) == 1 or width * height <= min(pixels, request_bytes / 3)
    if min(width, height) > 16:
        assert width / height == pytest.approx(size[0] / size[1], rel=0.1)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)), st.data())
def test_each_block_gives_its_darkest_pixel(greys: NDArray[np.uint8], data: st.DataObject) -> None:
    height, width = (data.draw(st.integers(1, side)) for side in greys.shape)
    shrunk = least_of_blocks(greys, width, height)
    assert shrunk.shape == (height, width)
    edges = [
        [n * old // new for n in range(new)] + [old]
        for old, new in zip(greys.shape, shrunk.shape, strict=True)
    ]
    for y in range(height):
        for x in range(width):
            block = greys[edges[0][y] : edges[0][y + 1], edges[1][x] : edges[1][x + 1]]
            assert shrunk[y, x] == block.min()


def test_a_model_that_is_not_there_is_told_as_such(client: Client) -> None:
    with pytest.raises(NotFound):
        client.synthesize("nowhere", KNOWN.palette.color_image(IDS))


async def test_many_may_ask_at_once(address: str, service: FakeService) -> None:
    image = renumber(IDS, [1, 0, 3, 2])
    async with AsyncClient(address) as client:
        await asyncio.gather(*(client.synthesize("m", image) for _ in range(20)))
    maps = [each.label_map for each in service.requests if isinstance(each, pb.SynthesizeRequest)]
    assert len(maps) == 20
    for each in maps:
        np.testing.assert_array_equal(ids_in(each), IDS)
