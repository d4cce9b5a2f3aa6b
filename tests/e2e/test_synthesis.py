"""Images through the real client, a real socket and a real process."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import AsyncClient, Client, LabelMap
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.png import GREY, INDEXED, one_channel_png
from tests.support.slow_pack import SLOW_ONE_SECOND
from tests.support.small_pack import LATENT_SCALE, LATENT_SIZE, VERSION

Labels = NDArray[np.uint8]


def expected_image(label_map: Labels, latent: NDArray[np.float32], strength: float) -> Labels:
    """What the small repository's networks make: see `faces64_networks`."""
    small = label_map[::2, ::2].astype(np.float32)
    mean = 2 * latent.astype(np.float64).mean()
    channels = (
        np.full(small.shape, 128 + 200 * mean),
        30 * small,
        np.full(small.shape, 30 * int(8 * strength)),
    )
    image = np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)
    return image.repeat(2, axis=0).repeat(2, axis=1)


def latent_of(seed: int) -> NDArray[np.float32]:
    """The latent of a seed, by the rule in the documentation."""
    normal = np.random.RandomState(seed).standard_normal(LATENT_SIZE).astype(np.float32)
    return normal * np.float32(LATENT_SCALE)


def test_image_is_what_the_models_make_of_mask_seed_and_strength(client: Client, label_map: Labels) -> None:
    result = client.synthesize("faces64", label_map, seed=7, style_strength=0.25)

    (image,) = result.images
    assert (image.width, image.height, image.seed) == (64, 64, 7)
    wanted = expected_image(label_map, latent_of(7), 0.25)
    # The mean is summed in another order here.
    np.testing.assert_allclose(image.to_numpy().astype(int), wanted, atol=1)
    assert result.model_version == VERSION


def encodings(label_map: Labels) -> dict[str, pb.LabelMap]:
    rows = label_map.tolist()
    colours = Image.fromarray(label_map)
    colours.putpalette(np.random.RandomState(0).randint(0, 256, 768, dtype=np.uint8).tobytes())
    file = io.BytesIO()
    colours.save(file, "PNG")
    flat = label_map.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=255))
    return {
        "raw": pb.LabelMap(raw=pb.RawLabelMap(data=label_map.tobytes(), width=64, height=64)),
        "run_length": pb.LabelMap(
            run_length=pb.RunLengthLabelMap(
                class_ids=flat[starts].tolist(),
                lengths=np.diff(starts, append=flat.size).tolist(),
                width=64,
                height=64,
            )
        ),
        "png_pillow_palette": pb.LabelMap(png=file.getvalue()),
        "png_palette_4_bit": pb.LabelMap(png=one_channel_png(rows, depth=4, colour=INDEXED)),
        "png_grey_8_bit": pb.LabelMap(png=one_channel_png(rows, depth=8, colour=GREY)),
        "png_grey_4_bit": pb.LabelMap(png=one_channel_png(rows, depth=4, colour=GREY)),
        "png_interlaced": pb.LabelMap(png=one_channel_png(rows, depth=8, interlace=True)),
    }


def test_every_encoding_of_a_label_map_gives_the_same_image(
    stub: pb_grpc.SynthesisServiceStub, label_map: Labels
) -> None:
    files = {
        name: stub.Synthesize(pb.SynthesizeRequest(model="faces64", label_map=encoded, seed=1)).images[0].data
        for name, encoded in encodings(label_map).items()
    }
    assert {name: data == files["raw"] for name, data in files.items()} == dict.fromkeys(files, True)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (63, 65), (128, 128), (512, 100)], ids=str)
def test_label_maps_of_other_sizes_are_resized_by_nearest_neighbour(
    client: Client, size: tuple[int, int]
) -> None:
    width, height = size
    label_map = np.random.RandomState(3).randint(0, 8, (height, width), dtype=np.uint8)
    # Pillow's nearest neighbour samples at pixel centres too.
    resized = np.asarray(Image.fromarray(label_map).resize((64, 64), Image.Resampling.NEAREST))

    made = client.synthesize("faces64", label_map, seed=2).images[0]

    assert made == client.synthesize("faces64", resized, seed=2).images[0]


@pytest.mark.parametrize(
    ("image_format", "mode_of_file", "tolerance"),
    [("png", "PNG", 0), ("jpeg", "JPEG", 60), ("webp", "WEBP", 90)],
)
def test_formats(
    client: Client,
    label_map: Labels,
    image_format: Literal["png", "jpeg", "webp"],
    mode_of_file: str,
    tolerance: int,
) -> None:
    raw = client.synthesize("faces64", label_map, seed=5, image_format="raw").images[0]
    assert len(raw.data) == 64 * 64 * 3

    image = client.synthesize("faces64", label_map, seed=5, image_format=image_format).images[0]

    with Image.open(io.BytesIO(image.data)) as opened:
        assert (opened.format, opened.mode, opened.size) == (mode_of_file, "RGB", (64, 64))
    difference = np.abs(image.to_numpy().astype(int) - raw.to_numpy())
    assert difference.max() <= tolerance
    assert difference.mean() <= tolerance / 10


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_quality_trades_size(
    client: Client, label_map: Labels, image_format: Literal["jpeg", "webp"]
) -> None:
    noisy = np.random.RandomState(0).randint(0, 8, label_map.shape, dtype=np.uint8)
    small, default, large = (
        len(client.synthesize("faces64", noisy, seed=1, image_format=image_format, quality=q).images[0].data)
        for q in (1, None, 100)
    )
    assert small < default < large


def test_same_request_gives_same_bytes_also_after_a_restart(
    client: Client, repository: Path, label_map: Labels
) -> None:
    formats: tuple[Literal["png", "jpeg", "webp", "raw"], ...] = ("png", "jpeg", "webp", "raw")
    first = [client.synthesize("faces64", label_map, seed=9, image_format=name).images for name in formats]
    again = [client.synthesize("faces64", label_map, seed=9, image_format=name).images for name in formats]
    with gateway_process(repository) as other, Client(other.address) as other_client:
        restarted = [
            other_client.synthesize("faces64", label_map, seed=9, image_format=name).images
            for name in formats
        ]
    assert first == again == restarted


def test_seeds_count_up_from_the_first(client: Client, label_map: Labels) -> None:
    made = client.synthesize("faces64", label_map, seed=2**32 - 2, number_of_images=4).images
    assert [image.seed for image in made] == [2**32 - 2, 2**32 - 1, 0, 1]
    assert made[2:] == client.synthesize("faces64", label_map, seeds=[0, 1]).images


def test_listed_seeds_keep_their_order_and_may_repeat(client: Client, label_map: Labels) -> None:
    made = client.synthesize("faces64", label_map, seeds=[11, 3, 11]).images
    assert [image.seed for image in made] == [11, 3, 11]
    assert made[0] == made[2] != made[1]
    assert made[1] == client.synthesize("faces64", label_map, seed=3).images[0]


def test_a_latent_given_gives_the_image_of_its_seed(client: Client, label_map: Labels) -> None:
    latents = np.stack([latent_of(seed) for seed in (21, 22)])
    from_latents = client.synthesize("faces64", label_map, latents=latents).images
    from_seeds = client.synthesize("faces64", label_map, seeds=[21, 22]).images
    assert [image.seed for image in from_latents] == [None, None]
    assert [image.data for image in from_latents] == [image.data for image in from_seeds]


def test_without_a_seed_a_random_one_is_drawn_and_told(client: Client, label_map: Labels) -> None:
    drawn = [client.synthesize("faces64", label_map).images[0] for _ in range(2)]
    assert drawn[0].seed != drawn[1].seed
    assert client.synthesize("faces64", label_map, seed=drawn[0].seed).images[0] == drawn[0]


def test_style_strength_default_is_the_model_s_and_zero_is_not_unset(
    client: Client, label_map: Labels
) -> None:
    def blue(strength: float | None) -> int:
        made = client.synthesize("faces64", label_map, seed=1, style_strength=strength).images[0]
        return int(made.to_numpy()[0, 0, 2])

    allowed = client.model("faces64").conditions[0].style_strength
    assert allowed is not None
    assert allowed.default == 0.5
    assert (blue(None), blue(0.5), blue(0.0), blue(1.0)) == (120, 120, 0, 240)


def test_stream_gives_the_same_images_as_the_unary_call(client: Client, label_map: Labels) -> None:
    whole = client.synthesize("faces64", label_map, seed=40, number_of_images=16)
    parts = list(client.synthesize_stream("faces64", label_map, seed=40, number_of_images=16))
    assert sorted(part.index for part in parts) == list(range(16))
    assert {part.index: part.image for part in parts} == dict(enumerate(whole.images))
    assert {part.model_version for part in parts} == {VERSION}
    assert all({stage.image_index for stage in part.timings.stages} == {part.index} for part in parts)


def test_stream_sends_what_is_ready_before_what_is_not(repository: Path) -> None:
    slow_then_fast = [[SLOW_ONE_SECOND], [0.0]]
    with (
        gateway_process(repository, worker_threads=2) as gateway,
        Client(gateway.address) as client,
    ):
        label_map = np.zeros((4, 4), np.uint8)
        streamed = client.synthesize_stream("slow", label_map, latents=slow_then_fast)
        assert [part.index for part in streamed] == [1, 0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_way_to_this_machine_leads_through_no_proxy(
    gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Client(gateway.address.replace("127.0.0.1", host), timeout=5) as own:
        assert own.models()


async def test_async_client_does_the_same(client: Client, gateway: GatewayProcess, label_map: Labels) -> None:
    async with AsyncClient(gateway.address) as other:
        results = await asyncio.gather(
            *(other.synthesize("faces64", label_map, seed=seed) for seed in range(20))
        )
        streamed = [
            part async for part in other.synthesize_stream("faces64", label_map, seed=0, number_of_images=3)
        ]
        assert await other.model("faces64") == client.model("faces64")
        assert [model.name for model in await other.models()] == ["faces64", "slow"]
    assert [result.images for result in results] == [
        client.synthesize("faces64", label_map, seed=seed).images for seed in range(20)
    ]
    assert {part.image for part in streamed} == {result.images[0] for result in results[:3]}


@pytest.mark.parametrize("form", ["array", "palette_image", "grey_image", "png", "large_array"])
def test_client_takes_label_maps_in_every_usual_form(client: Client, label_map: Labels, form: str) -> None:
    palette_image = client.model("faces64").palette.color_image(label_map)
    file = io.BytesIO()
    palette_image.save(file, "PNG")
    forms: dict[str, LabelMap] = {
        "array": label_map.astype(np.int64),
        "palette_image": palette_image,
        "grey_image": Image.fromarray(label_map),
        "png": file.getvalue(),
        "large_array": label_map.repeat(8, axis=0).repeat(8, axis=1),
    }
    wanted = client.synthesize("faces64", label_map, seed=3).images
    assert client.synthesize("faces64", forms[form], seed=3).images == wanted
