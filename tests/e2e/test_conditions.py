"""Images from sketches, scribbles, proxy masks and exemplars, over the wire."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import (
    AsyncClient,
    Client,
    GeneratedImage,
    InvalidRequest,
    ProxyMask,
    Scribble,
    Sketch,
    Stroke,
)
from tests.support.gateway_process import GatewayProcess, gateway_process

Labels = NDArray[np.uint8]
NOT_DRAWN = 255
STROKES = [Stroke(1, [(0, 16), (64, 16)], width=8), Stroke(5, [(32, 48)], width=12)]


def shown(image: GeneratedImage) -> Labels:
    """What the small networks show of a condition, [32, 32]: see `faces64_conditions`."""
    green: Labels = image.to_numpy()[::2, ::2, 1] // 30
    return green


def lines() -> Image.Image:
    """A sketch of 64 x 64 with soft lines, as greys."""
    large = Image.new("L", (256, 256), 255)
    ImageDraw.Draw(large).ellipse((40, 30, 216, 226), outline=0, width=14)
    return large.resize((64, 64), Image.Resampling.BOX)


def written(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_a_sketch_arrives_as_ink(client: Client) -> None:
    greys = np.asarray(lines())
    made = client.synthesize("faces64", sketch=greys, seed=3).images[0]
    np.testing.assert_array_equal(shown(made), (255 - greys[::2, ::2]) // 32)


def test_every_form_of_a_sketch_gives_the_same_image(client: Client) -> None:
    greys = lines()
    layer = Image.new("RGBA", greys.size, "black")
    layer.putalpha(Image.eval(greys, lambda grey: 255 - grey))
    forms: dict[str, Sketch] = {
        "array": np.asarray(greys),
        "grey_image": greys,
        "rgb_array": np.asarray(greys.convert("RGB")),
        "grey_with_alpha": greys.convert("LA"),
        "black_on_transparent": layer,
        "black_on_transparent_array": np.asarray(layer),
        "png": written(greys),
        "png_palette": written(greys.convert("P")),
        "larger": np.asarray(greys).repeat(8, axis=0).repeat(8, axis=1),
    }
    made = {name: client.synthesize("faces64", sketch=each, seed=3).images for name, each in forms.items()}
    assert {name: each == made["array"] for name, each in made.items()} == dict.fromkeys(forms, True)
    from_jpeg = client.synthesize("faces64", sketch=written(greys, "JPEG"), seed=3).images[0]
    assert (shown(from_jpeg) == shown(made["array"][0])).mean() > 0.8


def test_a_hairline_of_a_large_sketch_is_not_lost(client: Client) -> None:
    large = np.full((1024, 1024), 255, np.uint8)
    large[487] = 0  # in the row 30 of 64, and so in the row 15 of those that the small network reads
    seen = shown(client.synthesize("faces64", sketch=large, seed=3).images[0])
    assert set(seen[15]) == {7}
    assert not seen[np.arange(32) != 15].any()


def test_a_scribble_arrives_with_what_is_not_drawn(client: Client) -> None:
    scribble = np.full((64, 64), NOT_DRAWN, np.uint8)
    scribble[10:20], scribble[30:40, :32] = 1, 6
    made = client.synthesize("faces64", scribble=scribble, seed=3).images[0]
    # The small completer fills in the class 0.
    np.testing.assert_array_equal(shown(made), np.where(scribble == NOT_DRAWN, 0, scribble)[::2, ::2])


def test_strokes_and_the_image_of_them_give_the_same(client: Client) -> None:
    rows, columns = np.mgrid[:64, :64] + 0.5
    scribble = np.full((64, 64), NOT_DRAWN, np.uint8)
    scribble[np.abs(rows - 16) <= 4] = 1
    scribble[np.hypot(rows - 48, columns - 32) <= 6] = 5
    from_image = client.synthesize("faces64", scribble=scribble, seed=3).images

    assert client.synthesize("faces64", scribble=Scribble(STROKES), seed=3).images == from_image
    large = [Stroke(each.class_id, np.array(each.points) * 8, each.width * 8) for each in STROKES]
    assert client.synthesize("faces64", scribble=Scribble(large, 512, 512), seed=3).images == from_image
    image = Image.fromarray(scribble)
    assert client.synthesize("faces64", scribble=image, seed=3).images == from_image
    assert client.synthesize("faces64", scribble=written(image), seed=3).images == from_image


def test_strokes_of_a_canvas_stay_at_least_a_pixel_wide(client: Client) -> None:
    hair = Scribble([Stroke(7, [(0, 1040), (2048, 1040)], width=1)], 2048, 2048)
    made = client.synthesize("faces64", scribble=hair, seed=3).images[0]
    assert set(shown(made)[16]) == {7}


def test_later_strokes_are_drawn_over_earlier_ones(client: Client) -> None:
    over = Scribble([Stroke(1, [(32, 32)], width=60), Stroke(4, [(32, 32)], width=20)])
    seen = shown(client.synthesize("faces64", scribble=over, seed=3).images[0])
    assert (seen[16, 16], seen[8, 16], seen[0, 0]) == (4, 1, 0)


def test_a_painted_image_becomes_a_scribble(client: Client) -> None:
    palette = client.model("faces64").palette
    painted = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(painted).rectangle((0, 0, 63, 31), fill=palette.by_name("mouth").color)
    scribble = palette.scribble(painted)
    assert set(scribble[:32].ravel()) == {6}
    assert set(scribble[32:].ravel()) == {NOT_DRAWN}
    seen = shown(client.synthesize("faces64", scribble=scribble, seed=3).images[0])
    assert seen[:16].tolist() == [[6] * 32] * 16


@pytest.mark.parametrize("form", ["array", "image", "png"])
def test_a_proxy_mask_arrives_as_it_is(client: Client, form: str) -> None:
    ids = (np.arange(32 * 32) % 26).astype(np.uint8).reshape(32, 32)
    forms: dict[str, ProxyMask] = {
        "array": ids,
        "image": Image.fromarray(ids),
        "png": written(Image.fromarray(ids)),
    }
    made = client.synthesize("faces64", proxy_mask=forms[form], seed=3).images[0]
    np.testing.assert_array_equal(made.to_numpy()[::2, ::2, 1], ids // 16 * 30)
    np.testing.assert_array_equal(made.to_numpy()[::2, ::2, 2], np.minimum(ids % 16 * 30.0, 255))


def test_an_exemplar_is_resized(client: Client) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    wanted = [[0] * 16 + [7] * 16] * 32
    for exemplar in (image, Image.fromarray(image), written(Image.fromarray(image))):
        seen = shown(client.synthesize("faces64", exemplar=exemplar, seed=3).images[0])
        assert seen.tolist() == wanted
    for size in ((640, 320), (2, 1)):
        scaled = Image.fromarray(image).resize(size, Image.Resampling.NEAREST)
        seen = shown(client.synthesize("faces64", exemplar=scaled, seed=3).images[0])
        assert seen[:, :10].max() < seen[:, 22:].min()


def test_an_image_of_the_service_is_an_exemplar(client: Client, label_map: Labels) -> None:
    first = client.synthesize("faces64", label_map, seed=3).images[0]
    assert client.synthesize("faces64", exemplar=first.to_pil(), seed=3).images


def conditions(label_map: Labels) -> dict[str, dict[str, object]]:
    return {
        "label_map": {"label_map": label_map},
        "sketch": {"sketch": np.asarray(lines())},
        "scribble": {"scribble": Scribble(STROKES)},
        "proxy_mask": {"proxy_mask": np.zeros((32, 32), np.uint8)},
        "exemplar": {"exemplar": np.full((64, 64, 3), 99, np.uint8)},
    }


KINDS = ["label_map", "sketch", "scribble", "proxy_mask", "exemplar"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_gives_the_same_bytes(
    client: Client, repository: Path, label_map: Labels, kind: str
) -> None:
    given = conditions(label_map)[kind]
    wanted = client.synthesize("faces64", seed=9, number_of_images=3, **given).images  # type: ignore[arg-type]
    assert client.synthesize("faces64", seeds=[9, 10, 11], **given).images == wanted  # type: ignore[arg-type]
    streamed = client.synthesize_stream("faces64", seed=9, number_of_images=3, **given)  # type: ignore[arg-type]
    assert {each.index: each.image for each in streamed} == dict(enumerate(wanted))


def test_another_gateway_gives_the_same_bytes(client: Client, repository: Path, label_map: Labels) -> None:
    with gateway_process(repository) as other, Client(other.address) as other_client:
        for given in conditions(label_map).values():
            ours, theirs = (
                each.synthesize("faces64", seed=9, **given).images  # type: ignore[arg-type]
                for each in (client, other_client)
            )
            assert ours == theirs


async def test_the_async_client_does_the_same(
    client: Client, gateway: GatewayProcess, label_map: Labels
) -> None:
    async with AsyncClient(gateway.address) as other:
        for given in conditions(label_map).values():
            wanted = client.synthesize("faces64", seed=9, **given).images  # type: ignore[arg-type]
            assert (await other.synthesize("faces64", seed=9, **given)).images == wanted  # type: ignore[arg-type]
            streamed = other.synthesize_stream("faces64", seed=9, **given)  # type: ignore[arg-type]
            assert [each.image async for each in streamed] == list(wanted)


@pytest.mark.parametrize("kind", ["sketch", "scribble"])
def test_the_style_strength_reaches_the_mapper(client: Client, label_map: Labels, kind: str) -> None:
    def blue(strength: float | None) -> int:
        given = conditions(label_map)[kind]
        made = client.synthesize("faces64", seed=1, style_strength=strength, **given)  # type: ignore[arg-type]
        return int(made.images[0].to_numpy()[0, 0, 2])

    assert (blue(None), blue(0.5), blue(0.0), blue(1.0)) == (120, 120, 0, 240)


def test_all_kinds_share_a_seed_s_head(client: Client, label_map: Labels) -> None:
    cached = {}
    for kind, given in conditions(label_map).items():
        timings = client.synthesize("faces64", seed=777_777, **given).timings  # type: ignore[arg-type]
        (head,) = (stage for stage in timings.stages if stage.stage == "faces64_generator_head")
        cached[kind] = head.cached
    assert cached == {kind: kind != "label_map" for kind in KINDS}


def test_images_are_counted_by_kind(repository: Path, label_map: Labels) -> None:
    with gateway_process(repository) as gateway, Client(gateway.address) as client:
        for number, given in enumerate(conditions(label_map).values(), 1):
            client.synthesize("faces64", seed=1, number_of_images=number, **given)  # type: ignore[arg-type]
        lines_of_metrics = gateway.get("/metrics").splitlines()
    for number, kind in enumerate(KINDS, 1):
        line = f'maskweave_images_total{{condition="{kind}",format="png",model="faces64"}} {number}.0'
        assert line in lines_of_metrics


def test_one_class_alone_is_a_condition(client: Client) -> None:
    """A blank canvas, and a scribble that has just been begun."""
    one = np.full((64, 64), 2, np.uint8)
    for given in ({"label_map": one}, {"scribble": one}, {"scribble": Scribble([Stroke(2, [(32, 32)], 3)])}):
        seen = shown(client.synthesize("faces64", seed=3, **given).images[0])
        assert seen[16, 16] == 2


def test_two_conditions_are_one_too_many(client: Client, stub: pb_grpc.SynthesisServiceStub) -> None:
    with pytest.raises(ValueError, match="got label_map, sketch; allowed: exactly one of them"):
        client.synthesize("faces64", np.zeros((4, 4), np.uint8), sketch=lines())
    with pytest.raises(ValueError, match="got none; allowed: exactly one of them"):
        client.synthesize("faces64")
    with pytest.raises(InvalidRequest, match="what slow accepts: label_map") as caught:
        client.synthesize("slow", sketch=lines())
    assert [violation.field for violation in caught.value.violations] == ["condition"]
    with pytest.raises(Exception, match="one of label_map, sketch, scribble, proxy_mask, exemplar"):
        stub.Synthesize(pb.SynthesizeRequest(model="faces64"))
