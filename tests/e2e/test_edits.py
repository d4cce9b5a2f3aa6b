"""Edits over a real socket, of images and of what seeds gave, on a pack that shows what it was given."""

from __future__ import annotations

import io
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import AsyncClient, Client, InvalidRequest, NotFound
from service.core.limits import LIMITS
from service.synthesis.validation.edits import DEFAULT_BLEND_WIDTH
from tests.support.faces64_editing import write_editor
from tests.support.faces64_repository import write_faces64
from tests.support.gateway_process import GatewayProcess, run_serve
from tests.support.model_repository import RepositoryWriter

Pixels = NDArray[np.uint8]

SIDE = 64
SOURCE = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((32, 16), np.uint8))
HOLE = np.s_[24:40, 20:30]
TARGET = SOURCE.copy()
TARGET[HOLE] = 6
CHANGED = SOURCE != TARGET
IMAGE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def distance() -> NDArray[np.float64]:
    """From each pixel to the nearest that changed, the long way round."""
    rows, columns = np.nonzero(CHANGED)
    y, x = np.mgrid[:SIDE, :SIDE]
    nearest: NDArray[np.float64] = np.sqrt(
        ((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(2)
    )
    return nearest


def synthesized(client: Client, label_map: Pixels, **more: object) -> Pixels:
    arguments = {"seed": 7, **more}
    return client.synthesize("faces64", label_map, **arguments).images[0].to_numpy()  # type: ignore[arg-type]


def edited(client: Client, what: Pixels | int | None, **more: object) -> Pixels:
    arguments = {"source": SOURCE, "image_format": "raw", **more}
    result = client.edit("faces64", what, TARGET, **arguments)  # type: ignore[arg-type]
    return result.images[0].to_numpy()


def shown(image: Pixels, label_map: Pixels, strength: float = 0.5) -> Pixels:
    """What the small editor makes of them."""
    result = np.stack([image[..., 0], 30 * label_map, np.full_like(label_map, 200 * strength)], 2)
    return result.astype(np.uint8)


def test_the_model_tells_what_can_be_edited(client: Client, dolls_client: Client) -> None:
    editing = client.model("faces64").editing
    assert editing is not None
    assert (editing.images, editing.default_blend_width) == (True, DEFAULT_BLEND_WIDTH)
    assert editing.max_blend_width == LIMITS.max_blend_width
    without = dolls_client.model("faces64").editing
    assert without is not None
    assert not without.images
    assert dolls_client.model("dolls").editing is None


@pytest.mark.parametrize("width", [0.0, 1.0, 2.5, DEFAULT_BLEND_WIDTH, 12.0, 64.0])
def test_an_image_changes_where_the_label_maps_differ_and_fades_out_around(
    client: Client, width: float
) -> None:
    result = edited(client, IMAGE, blend_width=width).astype(int)
    wanted, far = shown(IMAGE, TARGET).astype(int), distance()
    np.testing.assert_array_equal(result[CHANGED], wanted[CHANGED])
    beyond = far >= max(width, 1.0)
    assert beyond.any() or width == 64.0
    np.testing.assert_array_equal(result[beyond], IMAGE[beyond])
    share = (0.5 + 0.5 * np.cos(np.pi * np.minimum(far / max(width, 1.0), 1.0)))[..., None]
    assert np.abs(result - (IMAGE + share * (wanted - IMAGE))).max() <= 0.5 + 1e-9


def test_the_default_width_is_the_one_told(client: Client) -> None:
    told = edited(client, IMAGE, blend_width=DEFAULT_BLEND_WIDTH)
    np.testing.assert_array_equal(edited(client, IMAGE), told)


def test_an_image_without_its_label_map_is_made_anew(client: Client) -> None:
    result = edited(client, IMAGE, source=None, style_strength=1.0)
    np.testing.assert_array_equal(result, shown(IMAGE, TARGET, 1.0))


def test_nothing_to_change_changes_nothing(client: Client) -> None:
    result = client.edit("faces64", IMAGE, SOURCE, source=SOURCE).images[0].to_numpy()
    np.testing.assert_array_equal(result, IMAGE)
    seed = client.edit("faces64", 7, SOURCE, source=SOURCE).images[0].to_numpy()
    np.testing.assert_array_equal(seed, synthesized(client, SOURCE))


def test_what_a_seed_gave_keeps_all_that_is_far_from_a_change(client: Client) -> None:
    before, after = synthesized(client, SOURCE), synthesized(client, TARGET)
    result = client.edit("faces64", 7, TARGET, source=SOURCE, blend_width=3.0)
    pixels = result.images[0].to_numpy()
    np.testing.assert_array_equal(pixels[CHANGED], after[CHANGED])
    np.testing.assert_array_equal(pixels[distance() >= 3], before[distance() >= 3])
    assert (pixels != before).any()
    assert result.images[0].seed == 7
    stages = [(stage.stage, stage.image_index) for stage in result.timings.stages]
    assert {index for name, index in stages if name == "faces64_generator_tail"} == {0, 1}


def test_a_seed_without_a_label_map_gives_what_synthesize_gives(client: Client) -> None:
    np.testing.assert_array_equal(edited(client, 7, source=None), synthesized(client, TARGET))


def test_a_latent_is_as_good_as_a_seed(client: Client) -> None:
    latent = np.linspace(-1, 1, 100, dtype=np.float32)
    result = client.edit("faces64", None, TARGET, source=SOURCE, latent=latent).images[0]
    before = synthesized(client, SOURCE, seed=None, latents=[latent])
    np.testing.assert_array_equal(result.to_numpy()[distance() >= 4], before[distance() >= 4])
    assert result.seed is None


def test_the_style_strength_holds_for_what_is_there_too(client: Client) -> None:
    before = synthesized(client, SOURCE, style_strength=1.0)
    np.testing.assert_array_equal(
        edited(client, 7, style_strength=1.0)[distance() >= 4], before[distance() >= 4]
    )


@pytest.mark.parametrize("kind", ["PNG", "image"])
def test_images_come_as_files_and_from_pillow_too(client: Client, kind: str) -> None:
    image = Image.fromarray(IMAGE)
    file = io.BytesIO()
    image.save(file, "PNG")
    given = image if kind == "image" else file.getvalue()
    result = client.edit("faces64", given, TARGET, source=SOURCE).images[0]
    np.testing.assert_array_equal(result.to_numpy(), edited(client, IMAGE))


def test_label_maps_of_other_sizes_are_resized(client: Client) -> None:
    large = TARGET.repeat(4, 0).repeat(4, 1)
    result = client.edit("faces64", IMAGE, large, source=SOURCE).images[0]
    np.testing.assert_array_equal(result.to_numpy(), edited(client, IMAGE))


async def test_the_client_for_asyncio_does_the_same(gateway: GatewayProcess, client: Client) -> None:
    sources: tuple[Pixels | int, ...] = (IMAGE, 7)
    wanted = [edited(client, what) for what in sources]
    async with AsyncClient(gateway.address) as other:
        for what, pixels in zip(sources, wanted, strict=True):
            result = await other.edit("faces64", what, TARGET, source=SOURCE)
            np.testing.assert_array_equal(result.images[0].to_numpy(), pixels)


def test_the_same_request_gives_the_same_bytes(client: Client) -> None:
    for what in (IMAGE, 7):
        one, other = (client.edit("faces64", what, TARGET, source=SOURCE).images[0] for _ in range(2))
        assert one.data == other.data


@pytest.mark.parametrize("kind", ["jpeg", "webp", "png"])
def test_every_format(client: Client, kind: str) -> None:
    quality = None if kind == "png" else 95
    result = client.edit("faces64", 7, TARGET, image_format=kind, quality=quality)  # type: ignore[arg-type]
    assert result.images[0].format == kind
    assert result.images[0].to_pil().size == (SIDE, SIDE)


ANY = {"target": TARGET, "source": SOURCE}


@pytest.mark.parametrize(
    ("what", "changed", "field", "told"),
    [
        (IMAGE[:32], {}, "picture.raw", "64 x 32 pixels; allowed: exactly 64 x 64 pixels"),
        (b"GIF89a", {}, "picture.file", "a GIF file; allowed: a PNG or JPEG"),
        (b"", {}, "picture.file", "0 bytes; allowed: a PNG or JPEG"),
        (IMAGE, {"blend_width": -0.5}, "blend_width", "got -0.5; allowed: 0 to 64"),
        (IMAGE, {"blend_width": float("nan")}, "blend_width", "got nan; allowed: 0 to 64"),
        (IMAGE, {"blend_width": float("inf")}, "blend_width", "got inf; allowed: 0 to 64"),
        (IMAGE, {"blend_width": 64.5}, "blend_width", "got 64.5; allowed: 0 to 64"),
        (IMAGE, {"style_strength": 2.0}, "style_strength", "got 2; allowed: 0 to 1"),
        (IMAGE, {"quality": 50}, "image_quality", "got 50; allowed: unset for PNG"),
        (IMAGE, {"target": TARGET + 8}, "target_label_map.raw", "class id 8"),
        (IMAGE, {"source": SOURCE + 8}, "source_label_map.raw", "class id 8"),
        (IMAGE, {"target": b"none"}, "target_label_map.png", "allowed"),
        (IMAGE, {"source": b"none"}, "source_label_map.png", "allowed"),
        (None, {"latent": [1.0, 2.0]}, "latent.values", "2 numbers; allowed: exactly 100"),
        (None, {"latent": [float("nan")] * 100}, "latent.values[0]", "nan; allowed: finite numbers"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str | dict) else type(value).__name__,
)
def test_what_is_not_allowed_is_named(
    client: Client, what: Pixels | bytes | None, changed: dict[str, object], field: str, told: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.edit("faces64", what, **{**ANY, **changed})  # type: ignore[arg-type]
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


def test_models_that_cannot_be_edited_say_so(dolls_client: Client) -> None:
    dolls = np.zeros((8, 8), np.uint8)
    with pytest.raises(InvalidRequest, match="dolls, of the method groupdnet; allowed: a model that can be"):
        dolls_client.edit("dolls", 7, dolls)
    with pytest.raises(InvalidRequest, match="got an image; allowed: a seed or a latent, for faces64"):
        dolls_client.edit("faces64", IMAGE, TARGET)
    assert dolls_client.edit("faces64", 7, TARGET, source=SOURCE).images[0].to_pil().size == (SIDE, SIDE)
    with pytest.raises(NotFound, match="cats"):
        dolls_client.edit("cats", 7, TARGET)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (pb.EditRequest(model="faces64", seed=1), "target_label_map"),
        (pb.EditRequest(model="faces64", target_label_map=pb.LabelMap(png=b"x")), "picture, seed, latent"),
        (pb.EditRequest(model="faces64", seed=1, target_label_map=pb.LabelMap()), "target_label_map"),
        (
            pb.EditRequest(
                model="faces64",
                seed=1,
                target_label_map=pb.LabelMap(png=b"x"),
                source_label_map=pb.LabelMap(),
            ),
            "source_label_map",
        ),
        (
            pb.EditRequest(
                model="faces64", picture=pb.SourcePicture(), target_label_map=pb.LabelMap(png=b"x")
            ),
            "picture",
        ),
    ],
    ids=["no_target", "no_source", "empty_target", "empty_source", "empty_image"],
)
def test_what_is_left_out_is_named(
    stub: pb_grpc.SynthesisServiceStub, request_: pb.EditRequest, told: str
) -> None:
    with pytest.raises(grpc.RpcError, match=told) as caught:
        stub.Edit(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_time_is_told_and_counted(stub: pb_grpc.SynthesisServiceStub, gateway: GatewayProcess) -> None:
    raw = pb.RawLabelMap(data=TARGET.tobytes(), width=SIDE, height=SIDE)
    picture = pb.SourcePicture(raw=pb.RawPicture(data=IMAGE.tobytes(), width=SIDE, height=SIDE))
    request = pb.EditRequest(model="faces64", picture=picture, target_label_map=pb.LabelMap(raw=raw))
    response, call = stub.Edit.with_call(request)
    assert [stage.stage for stage in response.timings.stages] == ["faces64_edit"]
    assert not response.image.HasField("seed")
    trailer = dict(call.trailing_metadata() or ())
    assert "faces64_edit;dur=" in str(trailer["server-timing"])
    metrics = gateway.get("/metrics")
    assert 'grpc_method="Edit"' in metrics
    assert 'stage="faces64_edit"' in metrics


@pytest.mark.parametrize(
    ("pack", "name", "told"),
    [
        ("cats", "faces64_edit", "got 'cats'; allowed: one of: faces64"),
        ("faces64", "other_edit", "which faces64_edit edits already"),
    ],
)
def test_a_repository_whose_editor_fits_no_pack_is_not_served(
    tmp_path: Path, pack: str, name: str, told: str
) -> None:
    writer = RepositoryWriter(tmp_path)
    write_faces64(writer)
    if name != "faces64_edit":
        write_editor(writer)
    write_editor(writer, pack, name)
    done = run_serve(model_repository=tmp_path, grpc_port=0, http_port=0)
    assert done.returncode != 0
    assert told in done.stdout
