"""Styles over a real socket: encode, give and mix, on a pack that shows its codes as colours."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from maskweave_client import (
    AsyncClient,
    Client,
    Seed,
    Style,
    StyleCode,
    blend,
)
from service.core.limits import LIMITS
from service.synthesis.validation.latents import normal_from_seed
from tests.support.dolls_images import HERS, HIS, latent_of, make, painted, seen
from tests.support.dolls_pack import (
    BACKGROUND,
    EYES,
    HAIR,
    LABEL_MAP,
    LOG_VARIANCE,
    NOSE,
    SIDE,
    SIZE,
    SKIN,
    STYLE_OF_CLASS,
    STYLES,
    color,
    joint_style,
    single_style,
)
from tests.support.gateway_process import GatewayProcess
from tests.support.small_pack import VERSION
from tests.support.turned import ORIENTATIONS, turned_file


def test_the_model_tells_its_method_and_its_styles(dolls_client: Client) -> None:
    model, other = dolls_client.model("dolls"), dolls_client.model("faces64")
    assert (model.method, other.method) == ("groupdnet", "sis-ug")
    assert model.styles is not None
    assert (model.styles.style_size, model.styles.styles) == (SIZE, ((0,), (1,), (2, 4), (3,)))
    assert other.styles is None
    assert model.conditions[0].style_strength is None
    assert other.conditions[0].style_strength is not None
    assert model.limits.max_morph_frames == LIMITS.max_morph_frames
    assert model.limits.max_style_value == LIMITS.max_style_value
    assert [each.name for each in dolls_client.models()] == ["dolls", "faces64", "slow_dolls"]


def test_classes_without_styles_look_as_the_seed_decides_for_them_together(
    dolls_client: Client,
) -> None:
    image = make(dolls_client, {}, seed=5)
    for class_id, style in enumerate(STYLE_OF_CLASS):
        assert seen(image, class_id) == color(joint_style(latent_of(5), style))


def test_a_seed_of_a_class_is_drawn_for_it_alone(dolls_client: Client) -> None:
    image = make(dolls_client, {HAIR: Seed(7)}, seed=5)
    assert seen(image, HAIR) == color(single_style(latent_of(7), STYLE_OF_CLASS[HAIR]))
    assert seen(image, SKIN) == color(joint_style(latent_of(5), STYLE_OF_CLASS[SKIN]))


def test_codes_say_what_they_are_of(dolls_client: Client) -> None:
    codes = dolls_client.encode_styles("dolls", HERS, LABEL_MAP)
    assert list(codes) == [BACKGROUND, HAIR, SKIN, EYES]
    assert codes[SKIN].covered_class_ids == (SKIN, NOSE)
    assert all((code.model, code.model_version) == ("dolls", VERSION) for code in codes.values())
    assert color(codes[HAIR].values) == (200, 100, 40)
    without_skin = np.where(LABEL_MAP == SKIN, HAIR, LABEL_MAP).astype(np.uint8)
    assert dolls_client.encode_styles("dolls", HERS, without_skin)[NOSE].covered_class_ids == (NOSE,)


def test_all_codes_of_an_image_give_it_back(dolls_client: Client) -> None:
    codes = dolls_client.encode_styles("dolls", HERS, LABEL_MAP)
    np.testing.assert_array_equal(make(dolls_client, dict(codes)).to_numpy(), HERS)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_and_label_maps_are_turned_as_their_orientation_says(
    dolls_client: Client, orientation: int
) -> None:
    label_map = np.where(np.arange(SIDE) < 3, LABEL_MAP, LABEL_MAP[::-1])  # unlike itself, however turned
    colors = np.array([(10, 20, 30), (200, 100, 40), (220, 180, 160), (0, 128, 250)], np.uint8)
    image = colors[np.array(STYLE_OF_CLASS)[label_map]]
    expected = dolls_client.encode_styles("dolls", image, label_map)
    assert color(expected[HAIR].values) == (200, 100, 40)
    turned_image, turned_map = (turned_file(one, orientation) for one in (image, label_map))
    assert dolls_client.encode_styles("dolls", turned_image, label_map) == expected
    assert dolls_client.encode_styles("dolls", image, turned_map) == expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "image"])
def test_images_come_as_files_and_from_pillow_too(dolls_client: Client, kind: str) -> None:
    image = Image.fromarray(painted((120, 120, 120), (120, 120, 120), (120, 120, 120), (120, 120, 120)))
    file = io.BytesIO()
    image.save(file, "PNG" if kind == "image" else kind)
    codes = dolls_client.encode_styles("dolls", image if kind == "image" else file.getvalue(), LABEL_MAP)
    assert color(codes[HAIR].values) == (120, 120, 120)


def test_a_sample_varies_the_code_by_its_seed(dolls_client: Client) -> None:
    mean = dolls_client.encode_styles("dolls", HERS, LABEL_MAP)[HAIR].values
    one, same, other = (
        dolls_client.encode_styles("dolls", HERS, LABEL_MAP, sample_seed=seed)[HAIR].values
        for seed in (3, 3, 4)
    )
    assert one == same != other
    noise = normal_from_seed(3, STYLES * SIZE).reshape(STYLES, SIZE)[STYLE_OF_CLASS[HAIR]]
    np.testing.assert_allclose(one, mean + np.exp(LOG_VARIANCE / 2) * noise, rtol=1e-6)


def test_styles_of_different_images_go_together(dolls_client: Client) -> None:
    hers, his = (dolls_client.encode_styles("dolls", image, LABEL_MAP) for image in (HERS, HIS))
    image = make(dolls_client, {HAIR: hers[HAIR], SKIN: his[SKIN]})
    assert (seen(image, HAIR), seen(image, SKIN), seen(image, NOSE)) == (
        (200, 100, 40),
        (120, 80, 60),
        (120, 80, 60),
    )


def test_codes_keep_under_another_label_map(dolls_client: Client) -> None:
    codes = dolls_client.encode_styles("dolls", HERS, LABEL_MAP)
    turned = np.ascontiguousarray(LABEL_MAP.T)
    image = make(dolls_client, dict(codes), label_map=turned)
    assert seen(image, HAIR, turned) == (200, 100, 40)
    only_the_nose = np.full((SIDE, SIDE), NOSE, np.uint8)
    assert seen(make(dolls_client, {SKIN: codes[SKIN]}, label_map=only_the_nose), NOSE, only_the_nose) == (
        220,
        180,
        160,
    )


def test_a_blend_is_the_weighted_sum_and_may_go_beyond(dolls_client: Client) -> None:
    hers, his = (dolls_client.encode_styles("dolls", image, LABEL_MAP)[HAIR] for image in (HERS, HIS))
    assert seen(make(dolls_client, {HAIR: blend((hers, 0.5), (his, 0.5))}), HAIR) == (120, 70, 40)
    assert seen(make(dolls_client, {HAIR: blend((his, 1.5), (hers, -0.5))}), HAIR) == (0, 10, 40)
    with_seed = np.array(hers.values) * 0.25 + single_style(latent_of(8), STYLE_OF_CLASS[HAIR]) * 2.0
    assert seen(make(dolls_client, {HAIR: blend((hers, 0.25), (Seed(8), 2.0))}), HAIR) == color(with_seed)


def test_the_same_request_gives_the_same_bytes(dolls_client: Client) -> None:
    code = dolls_client.encode_styles("dolls", HERS, LABEL_MAP)[EYES]
    assert code == dolls_client.encode_styles("dolls", HERS, LABEL_MAP)[EYES]
    styles: dict[int, Style] = {EYES: blend((code, 0.7), (Seed(3), 0.4)), HAIR: Seed(11)}
    assert make(dolls_client, styles).data == make(dolls_client, dict(reversed(styles.items()))).data
    kept = StyleCode.from_bytes(code.to_bytes())
    assert kept == code
    assert make(dolls_client, {EYES: kept}).data == make(dolls_client, {EYES: code}).data


def test_every_image_of_a_request_has_the_styles(dolls_client: Client) -> None:
    result = dolls_client.synthesize("dolls", LABEL_MAP, seeds=[1, 2, 3], styles={HAIR: Seed(7)})
    hair = {seen(image, HAIR) for image in result.images}
    assert hair == {color(single_style(latent_of(7), STYLE_OF_CLASS[HAIR]))}
    assert len({seen(image, SKIN) for image in result.images}) == 3
    alone = [stage.stage for stage in result.timings.stages].count("dolls_prior")
    assert alone == 3 + 1, "once for each image, and once for the seed of the hair"
    streamed = dolls_client.synthesize_stream("dolls", LABEL_MAP, seeds=[1, 2, 3], styles={HAIR: Seed(7)})
    assert {each.index: each.image.data for each in streamed} == {
        index: image.data for index, image in enumerate(result.images)
    }


async def test_the_client_for_asyncio_does_the_same(dolls: GatewayProcess, dolls_client: Client) -> None:
    async with AsyncClient(dolls.address) as other:
        codes = await other.encode_styles("dolls", HERS, LABEL_MAP)
        assert codes == await asyncio.to_thread(dolls_client.encode_styles, "dolls", HERS, LABEL_MAP)
        result = await other.synthesize("dolls", LABEL_MAP, seed=1, styles={HAIR: codes[HAIR]})
        assert seen(result.images[0], HAIR) == (200, 100, 40)
        ends: list[dict[int, Style]] = [{HAIR: codes[HAIR]}, {HAIR: Seed(4)}]
        frames = [each async for each in other.morph("dolls", LABEL_MAP, *ends, number_of_frames=3, seed=1)]
        assert [frame.index for frame in frames] == [0, 1, 2]
        assert frames[0].image.data == result.images[0].data


def test_metrics_count_encodings_and_frames(dolls_client: Client, dolls: GatewayProcess) -> None:
    dolls_client.encode_styles("dolls", HERS, LABEL_MAP)
    list(dolls_client.morph("dolls", LABEL_MAP, {HAIR: Seed(1)}, {}, number_of_frames=2))
    metrics = dolls.get("/metrics")
    assert 'grpc_method="EncodeStyles"' in metrics
    assert 'grpc_method="Morph"' in metrics
    assert 'stage="dolls_encoder"' in metrics
    assert 'stage="dolls_prior"' in metrics


def test_painting_works_for_them_too(dolls_client: Client) -> None:
    with dolls_client.paint("dolls", LABEL_MAP, seed=5, image_format="raw") as session:
        session.finish()
        (frame,) = session
    assert seen(frame.image, HAIR) == color(joint_style(latent_of(5), STYLE_OF_CLASS[HAIR]))
