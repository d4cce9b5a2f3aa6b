"""Styles over a real socket: encode, give, mix and morph, on a pack that shows its codes as colours."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    Picture,
    Seed,
    Style,
    StyleCode,
    blend,
)
from service.core.limits import LIMITS
from service.synthesis.starts import normal_from_seed
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
    write_dolls,
)
from tests.support.faces64_repository import write_faces64
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, run_serve
from tests.support.model_repository import RepositoryWriter
from tests.support.small_pack import LATENT_SCALE, VERSION

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def dolls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("dolls")
    writer = RepositoryWriter(root)
    write_dolls(writer)
    write_faces64(writer)
    with gateway_process(root, max_running=1) as running:
        yield running


@pytest.fixture(scope="module")
def client(dolls: GatewayProcess) -> Iterator[Client]:
    with Client(dolls.address) as connected:
        yield connected


def latent_of(seed: int) -> NDArray[np.float32]:
    return normal_from_seed(seed, STYLES * SIZE).astype(np.float32) * np.float32(LATENT_SCALE)


def painted(*colors: tuple[int, int, int]) -> Pixels:
    """A picture whose pixels have the colours of their styles, uint8 [8, 8, 3]."""
    of_style = np.array(colors, np.uint8)
    pixels: Pixels = of_style[np.array(STYLE_OF_CLASS)[LABEL_MAP]]
    return pixels


HERS = painted((10, 20, 30), (200, 100, 40), (220, 180, 160), (0, 128, 250))
HIS = painted((90, 90, 90), (40, 40, 40), (120, 80, 60), (60, 30, 20))


def seen(picture: Picture, class_id: int, label_map: Pixels = LABEL_MAP) -> tuple[int, ...]:
    """The one colour of a class in a picture."""
    colors = np.unique(picture.to_numpy()[label_map == class_id], axis=0)
    assert len(colors) == 1, colors
    return tuple(colors[0].tolist())


def make(client: Client, styles: dict[int, Style], seed: int = 1, label_map: Pixels = LABEL_MAP) -> Picture:
    return client.synthesize("dolls", label_map, seed=seed, styles=styles).pictures[0]


def test_the_model_tells_its_method_and_its_styles(client: Client) -> None:
    model, other = client.model("dolls"), client.model("faces64")
    assert (model.method, other.method) == ("groupdnet", "sis-ug")
    assert model.styles is not None
    assert (model.styles.style_size, model.styles.styles) == (SIZE, ((0,), (1,), (2, 4), (3,)))
    assert other.styles is None
    assert model.conditions[0].style_strength is None
    assert other.conditions[0].style_strength is not None
    assert model.limits.max_morph_frames == LIMITS.max_morph_frames
    assert model.limits.max_style_value == LIMITS.max_style_value
    assert [each.name for each in client.models()] == ["dolls", "faces64", "slow_dolls"]


def test_classes_without_styles_look_as_the_seed_decides_for_all_of_them_together(client: Client) -> None:
    picture = make(client, {}, seed=5)
    for class_id, style in enumerate(STYLE_OF_CLASS):
        assert seen(picture, class_id) == color(joint_style(latent_of(5), style))


def test_a_seed_of_a_class_is_drawn_for_it_alone(client: Client) -> None:
    picture = make(client, {HAIR: Seed(7)}, seed=5)
    assert seen(picture, HAIR) == color(single_style(latent_of(7), STYLE_OF_CLASS[HAIR]))
    assert seen(picture, SKIN) == color(joint_style(latent_of(5), STYLE_OF_CLASS[SKIN]))


def test_codes_say_what_they_are_of(client: Client) -> None:
    codes = client.encode_styles("dolls", HERS, LABEL_MAP)
    assert list(codes) == [BACKGROUND, HAIR, SKIN, EYES]
    assert codes[SKIN].covered_class_ids == (SKIN, NOSE)
    assert all((code.model, code.model_version) == ("dolls", VERSION) for code in codes.values())
    assert color(codes[HAIR].values) == (200, 100, 40)
    without_skin = np.where(LABEL_MAP == SKIN, HAIR, LABEL_MAP).astype(np.uint8)
    assert client.encode_styles("dolls", HERS, without_skin)[NOSE].covered_class_ids == (NOSE,)


def test_all_codes_of_a_picture_give_it_back(client: Client) -> None:
    codes = client.encode_styles("dolls", HERS, LABEL_MAP)
    np.testing.assert_array_equal(make(client, dict(codes)).to_numpy(), HERS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "image"])
def test_pictures_come_as_files_and_images_too(client: Client, kind: str) -> None:
    image = Image.fromarray(painted((120, 120, 120), (120, 120, 120), (120, 120, 120), (120, 120, 120)))
    file = io.BytesIO()
    image.save(file, "PNG" if kind == "image" else kind)
    codes = client.encode_styles("dolls", image if kind == "image" else file.getvalue(), LABEL_MAP)
    assert color(codes[HAIR].values) == (120, 120, 120)


def test_a_sample_varies_the_code_by_its_seed(client: Client) -> None:
    mean = client.encode_styles("dolls", HERS, LABEL_MAP)[HAIR].values
    one, same, other = (
        client.encode_styles("dolls", HERS, LABEL_MAP, sample_seed=seed)[HAIR].values for seed in (3, 3, 4)
    )
    assert one == same != other
    noise = normal_from_seed(3, STYLES * SIZE).reshape(STYLES, SIZE)[STYLE_OF_CLASS[HAIR]]
    np.testing.assert_allclose(one, mean + np.exp(LOG_VARIANCE / 2) * noise, rtol=1e-6)


def test_styles_of_different_pictures_go_together(client: Client) -> None:
    hers, his = (client.encode_styles("dolls", picture, LABEL_MAP) for picture in (HERS, HIS))
    picture = make(client, {HAIR: hers[HAIR], SKIN: his[SKIN]})
    assert (seen(picture, HAIR), seen(picture, SKIN), seen(picture, NOSE)) == (
        (200, 100, 40),
        (120, 80, 60),
        (120, 80, 60),
    )


def test_codes_keep_under_another_label_map(client: Client) -> None:
    codes = client.encode_styles("dolls", HERS, LABEL_MAP)
    turned = np.ascontiguousarray(LABEL_MAP.T)
    picture = make(client, dict(codes), label_map=turned)
    assert seen(picture, HAIR, turned) == (200, 100, 40)
    only_the_nose = np.full((SIDE, SIDE), NOSE, np.uint8)
    assert seen(make(client, {SKIN: codes[SKIN]}, label_map=only_the_nose), NOSE, only_the_nose) == (
        220,
        180,
        160,
    )


def test_a_blend_is_the_weighted_sum_and_may_go_beyond(client: Client) -> None:
    hers, his = (client.encode_styles("dolls", picture, LABEL_MAP)[HAIR] for picture in (HERS, HIS))
    assert seen(make(client, {HAIR: blend((hers, 0.5), (his, 0.5))}), HAIR) == (120, 70, 40)
    assert seen(make(client, {HAIR: blend((his, 1.5), (hers, -0.5))}), HAIR) == (0, 10, 40)
    with_seed = np.array(hers.values) * 0.25 + single_style(latent_of(8), STYLE_OF_CLASS[HAIR]) * 2.0
    assert seen(make(client, {HAIR: blend((hers, 0.25), (Seed(8), 2.0))}), HAIR) == color(with_seed)


def test_the_same_request_gives_the_same_bytes(client: Client) -> None:
    code = client.encode_styles("dolls", HERS, LABEL_MAP)[EYES]
    assert code == client.encode_styles("dolls", HERS, LABEL_MAP)[EYES]
    styles: dict[int, Style] = {EYES: blend((code, 0.7), (Seed(3), 0.4)), HAIR: Seed(11)}
    assert make(client, styles).data == make(client, dict(reversed(styles.items()))).data
    kept = StyleCode.from_bytes(code.to_bytes())
    assert kept == code
    assert make(client, {EYES: kept}).data == make(client, {EYES: code}).data


def test_every_picture_of_a_request_has_the_styles(client: Client) -> None:
    result = client.synthesize("dolls", LABEL_MAP, seeds=[1, 2, 3], styles={HAIR: Seed(7)})
    hair = {seen(picture, HAIR) for picture in result.pictures}
    assert hair == {color(single_style(latent_of(7), STYLE_OF_CLASS[HAIR]))}
    assert len({seen(picture, SKIN) for picture in result.pictures}) == 3
    alone = [stage.stage for stage in result.timings.stages].count("dolls_prior")
    assert alone == 3 + 1, "once for each picture, and once for the seed of the hair"
    streamed = client.synthesize_stream("dolls", LABEL_MAP, seeds=[1, 2, 3], styles={HAIR: Seed(7)})
    assert {each.index: each.picture.data for each in streamed} == {
        index: picture.data for index, picture in enumerate(result.pictures)
    }


def test_a_morph_goes_from_one_to_the_other_in_order(client: Client) -> None:
    hers, his = (client.encode_styles("dolls", picture, LABEL_MAP) for picture in (HERS, HIS))
    frames = list(
        client.morph("dolls", LABEL_MAP, {HAIR: hers[HAIR]}, {HAIR: his[HAIR]}, number_of_frames=5, seed=9)
    )
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.position for frame in frames] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [seen(frame.picture, HAIR) for frame in frames] == [
        (200, 100, 40),
        (160, 85, 40),
        (120, 70, 40),
        (80, 55, 40),
        (40, 40, 40),
    ]
    assert len({seen(frame.picture, SKIN) for frame in frames}) == 1
    assert frames[0].picture.data == make(client, {HAIR: hers[HAIR]}, seed=9).data
    assert frames[-1].picture.data == make(client, {HAIR: his[HAIR]}, seed=9).data
    assert {frame.picture.seed for frame in frames} == {9}


def test_a_class_at_one_end_only_comes_from_or_goes_to_what_the_seed_decides(client: Client) -> None:
    his = client.encode_styles("dolls", HIS, LABEL_MAP)
    frames = list(
        client.morph("dolls", LABEL_MAP, {SKIN: his[SKIN]}, {HAIR: his[HAIR]}, number_of_frames=2, seed=9)
    )
    plain = make(client, {}, seed=9)
    assert seen(frames[0].picture, HAIR) == seen(plain, HAIR)
    assert seen(frames[1].picture, HAIR) == (40, 40, 40)
    assert seen(frames[0].picture, SKIN) == (120, 80, 60)
    assert seen(frames[1].picture, SKIN) == seen(plain, SKIN)


def test_a_morph_may_go_beyond_both_ends_and_backwards(client: Client) -> None:
    hers, his = (client.encode_styles("dolls", picture, LABEL_MAP)[HAIR] for picture in (HERS, HIS))

    def hair(first: float, last: float, frames: int) -> list[tuple[int, ...]]:
        made = client.morph(
            "dolls",
            LABEL_MAP,
            {HAIR: his},
            {HAIR: hers},
            number_of_frames=frames,
            first_position=first,
            last_position=last,
            seed=9,
        )
        return [seen(frame.picture, HAIR) for frame in made]

    beyond = hair(-0.25, 1.25, 7)
    assert (beyond[0], beyond[1], beyond[5], beyond[6]) == (
        (0, 25, 40),
        (40, 40, 40),
        (200, 100, 40),
        (240, 115, 40),
    )
    assert hair(1.25, -0.25, 7) == beyond[::-1]
    assert hair(0.5, 1.0, 1) == [(120, 70, 40)]


def test_a_spherical_morph_keeps_the_length_on_its_way(client: Client) -> None:
    version = client.model("dolls").version
    one, other = (StyleCode("dolls", version, HAIR, values) for values in ((3.0, 0.0, 0.0), (0.0, 3.0, 0.0)))
    (frame,) = client.morph(
        "dolls",
        LABEL_MAP,
        {HAIR: one},
        {HAIR: other},
        number_of_frames=1,
        first_position=0.5,
        path="spherical",
        seed=1,
    )
    assert seen(frame.picture, HAIR) == color((3.0 / 2**0.5, 3.0 / 2**0.5, 0.0))


def test_a_morph_that_is_left_early_frees_its_slot(client: Client, dolls: GatewayProcess) -> None:
    frames = client.morph("slow_dolls", LABEL_MAP, {HAIR: Seed(1)}, {HAIR: Seed(2)}, number_of_frames=64)
    assert next(frames).index == 0
    frames.close()
    dolls.wait_until_in_flight(0, "Morph")
    dolls.wait_for_metric("maskweave_pictures_waiting 0.0")
    dolls.wait_for_metric("maskweave_pictures_running 0.0")
    made = float(
        next(
            line.rpartition(" ")[2]
            for line in dolls.get("/metrics").splitlines()
            if line.startswith("maskweave_images_total{") and "slow_dolls" in line
        )
    )
    assert made < 64


def test_a_morph_ends_at_its_deadline(client: Client, dolls: GatewayProcess) -> None:
    frames = client.morph(
        "slow_dolls", LABEL_MAP, {HAIR: Seed(1)}, {HAIR: Seed(2)}, number_of_frames=64, timeout=1.0
    )
    with pytest.raises(DeadlineExceeded):
        list(frames)
    dolls.wait_for_metric("maskweave_pictures_waiting 0.0")


async def test_the_client_for_asyncio_does_the_same(dolls: GatewayProcess, client: Client) -> None:
    async with AsyncClient(dolls.address) as other:
        codes = await other.encode_styles("dolls", HERS, LABEL_MAP)
        assert codes == await asyncio.to_thread(client.encode_styles, "dolls", HERS, LABEL_MAP)
        result = await other.synthesize("dolls", LABEL_MAP, seed=1, styles={HAIR: codes[HAIR]})
        assert seen(result.pictures[0], HAIR) == (200, 100, 40)
        ends: list[dict[int, Style]] = [{HAIR: codes[HAIR]}, {HAIR: Seed(4)}]
        frames = [each async for each in other.morph("dolls", LABEL_MAP, *ends, number_of_frames=3, seed=1)]
        assert [frame.index for frame in frames] == [0, 1, 2]
        assert frames[0].picture.data == result.pictures[0].data


def test_metrics_count_encodings_and_frames(client: Client, dolls: GatewayProcess) -> None:
    client.encode_styles("dolls", HERS, LABEL_MAP)
    metrics = dolls.get("/metrics")
    assert 'grpc_method="EncodeStyles"' in metrics
    assert 'grpc_method="Morph"' in metrics
    assert 'stage="dolls_encoder"' in metrics
    assert 'stage="slow_dolls_prior"' in metrics


GOOD = StyleCode("dolls", VERSION, HAIR, (0.0, 0.0, 0.0))


def code(**changed: object) -> StyleCode:
    values = {"model": "dolls", "model_version": VERSION, "class_id": HAIR, "values": (0.0, 0.0, 0.0)}
    return StyleCode(**{**values, **changed})  # type: ignore[arg-type]


CASES: list[tuple[dict[int, Style], str, str]] = [
    ({HAIR: code(model="cats")}, "styles[1].code.model", "got 'cats'; allowed: 'dolls'"),
    (
        {HAIR: code(model_version="0.9.0")},
        "styles[1].code.model_version",
        f"got '0.9.0'; allowed: '{VERSION}'",
    ),
    ({HAIR: code(class_id=SKIN)}, "styles[1].code.class_id", "got 2; allowed: a code of a class of"),
    ({200: Seed(1)}, "styles[200]", "class id 200; allowed: class ids 0 to 4"),
    ({HAIR: code(values=(1.0,))}, "styles[1].code.values", "1 numbers; allowed: exactly 3"),
    (
        {HAIR: code(values=(0.0, float("nan"), 0.0))},
        "styles[1].code.values[1]",
        "nan; allowed: -1000 to 1000",
    ),
    (
        {HAIR: code(values=(0.0, 0.0, float("inf")))},
        "styles[1].code.values[2]",
        "inf; allowed: -1000 to 1000",
    ),
    ({HAIR: code(values=(1001.0, 0.0, 0.0))}, "styles[1].code.values[0]", "1001; allowed: -1000 to 1000"),
    ({HAIR: blend()}, "styles[1].blend.styles", "0 styles; allowed: 1 to 16 styles"),
    ({HAIR: blend(*[(GOOD, 0.1)] * 17)}, "styles[1].blend.styles", "17 styles; allowed: 1 to 16"),
    ({HAIR: blend((GOOD, 16.5))}, "styles[1].blend.styles[0].weight", "16.5; allowed: -16 to 16"),
    ({HAIR: blend((GOOD, float("nan")))}, "styles[1].blend.styles[0].weight", "nan; allowed: -16 to 16"),
    (
        {HAIR: blend((Seed(1), 0.5), (code(model="cats"), 0.5))},
        "styles[1].blend.styles[1].code.model",
        "got 'cats'",
    ),
    ({SKIN: Seed(1), NOSE: Seed(2)}, "styles[4]", "the same as for class 2, with which class 4 shares"),
    (
        {each: blend(*((Seed(10 * each + i), 0.1) for i in range(10))) for each in range(4)},
        "styles",
        "40 different seeds in all styles; allowed: at most 32",
    ),
]


@pytest.mark.parametrize(("styles", "field", "told"), CASES, ids=lambda value: str(value)[:60])
def test_a_style_that_is_not_allowed_is_named(
    client: Client, styles: dict[int, Style], field: str, told: str
) -> None:
    for attempt in (
        lambda: client.synthesize("dolls", LABEL_MAP, seed=1, styles=styles),
        lambda: list(client.synthesize_stream("dolls", LABEL_MAP, seed=1, styles=styles)),
        lambda: list(client.morph("dolls", LABEL_MAP, {}, styles, number_of_frames=2)),
    ):
        with pytest.raises(InvalidRequest) as caught:
            attempt()
        (violation,) = caught.value.violations
        assert violation.field in (field, field.replace("styles", "to_styles", 1))
        assert told in violation.description


def test_a_class_that_the_label_map_has_not_is_named(client: Client) -> None:
    label_map = np.where(LABEL_MAP == HAIR, SKIN, LABEL_MAP).astype(np.uint8)
    with pytest.raises(InvalidRequest, match=r"styles\[1\]: got class id 1; allowed: .* 0, 2, 3, 4"):
        client.synthesize("dolls", label_map, styles={HAIR: Seed(1)})
    with pytest.raises(InvalidRequest, match=r"from_styles\[1\]: got class id 1"):
        list(client.morph("dolls", label_map, {HAIR: Seed(1)}, {}, number_of_frames=2))


def test_the_same_for_classes_that_share_a_style_is_allowed(client: Client) -> None:
    assert make(client, {SKIN: Seed(1), NOSE: Seed(1)}).data == make(client, {NOSE: Seed(1)}).data


@pytest.mark.parametrize(
    ("changed", "field", "told"),
    [
        ({"number_of_frames": 0}, "number_of_frames", "got 0; allowed: 1 to 64"),
        ({"number_of_frames": 65}, "number_of_frames", "got 65; allowed: 1 to 64"),
        ({"first_position": -8.5}, "first_position", "-8.5; allowed: -8 to 8"),
        ({"last_position": float("inf")}, "last_position", "inf; allowed: -8 to 8"),
        ({"first_position": float("nan")}, "first_position", "nan; allowed: -8 to 8"),
        ({"from_styles": {}, "to_styles": {}}, "from_styles", "no class, neither here nor in to_styles"),
        ({"latent": [0.0]}, "latent.values", "1 numbers; allowed: exactly 12"),
        ({"model": "faces64"}, "model", "faces64, of the method sis-ug; allowed: a model with styles"),
    ],
    ids=lambda value: str(value),
)
def test_a_morph_that_is_not_allowed_is_refused(
    client: Client, changed: dict[str, object], field: str, told: str
) -> None:
    arguments: dict[str, object] = {
        "model": "dolls",
        "label_map": LABEL_MAP,
        "from_styles": {HAIR: Seed(1)},
        "to_styles": {HAIR: Seed(2)},
        "number_of_frames": 3,
        **changed,
    }
    with pytest.raises(InvalidRequest) as caught:
        list(client.morph(**arguments))  # type: ignore[arg-type]
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


@pytest.mark.parametrize(
    ("picture", "label_map", "field", "told"),
    [
        (HERS[:4], LABEL_MAP, "picture.raw", "8 x 4 pixels; allowed: exactly 8 x 8 pixels"),
        (HERS, LABEL_MAP[:4], "label_map", "8 x 4 pixels; allowed: exactly 8 x 8 pixels"),
        (b"", LABEL_MAP, "picture.file", "nothing; allowed: a PNG or JPEG"),
        (b"GIF89a", LABEL_MAP, "picture.file", "47 49 46 38 39 61; allowed: a PNG or JPEG"),
        (HERS, np.full((SIDE, SIDE), 9, np.uint8), "label_map.raw", "class id 9"),
    ],
    ids=["small_picture", "small_map", "empty", "gif", "unknown_class"],
)
def test_what_cannot_be_encoded_is_refused(
    client: Client, picture: Pixels | bytes, label_map: Pixels, field: str, told: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.encode_styles("dolls", picture, label_map)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


def test_models_without_styles_say_so(client: Client) -> None:
    label_map = np.zeros((64, 64), np.uint8)
    with pytest.raises(InvalidRequest, match="styles: got 1 classes; allowed: none for faces64"):
        client.synthesize("faces64", label_map, styles={1: Seed(1)})
    with pytest.raises(InvalidRequest, match="model: got faces64, of the method sis-ug"):
        client.encode_styles("faces64", np.zeros((64, 64, 3), np.uint8), label_map)
    with pytest.raises(InvalidRequest, match="style_strength: got 0.5; allowed: unset for dolls"):
        client.synthesize("dolls", LABEL_MAP, style_strength=0.5)


def test_painting_works_for_them_too(client: Client) -> None:
    with client.paint("dolls", LABEL_MAP, seed=5, image_format="raw") as session:
        session.finish()
        (frame,) = session
    assert seen(frame.picture, HAIR) == color(joint_style(latent_of(5), STYLE_OF_CLASS[HAIR]))


def test_a_style_without_any_is_refused(dolls: GatewayProcess) -> None:
    with channel_to(dolls) as channel, Client(channel=channel) as client:
        request = pb.SynthesizeRequest(
            model="dolls",
            label_map=pb.LabelMap(raw=pb.RawLabelMap(data=LABEL_MAP.tobytes(), width=SIDE, height=SIDE)),
            styles={HAIR: pb.Style()},
        )
        with pytest.raises(InvalidRequest, match=r"styles\[1\]: got no style; allowed: one of code, seed"):
            client._call(client._stub.Synthesize, request, None, None)
        request.styles[HAIR].blend.styles.add(weight=1.0)
        with pytest.raises(InvalidRequest, match=r"styles\[1\].blend.styles\[0\]: got no style"):
            client._call(client._stub.Synthesize, request, None, None)


def test_what_the_repository_lacks_is_told_at_start(tmp_path: Path) -> None:
    write_dolls(RepositoryWriter(tmp_path))
    config = tmp_path / "dolls_label_map" / "config.pbtxt"
    config.write_text(config.read_text().replace('string_value: "dolls_prior"', 'string_value: "none"'))
    told = run_serve(model_repository=tmp_path, grpc_port=0, http_port=0)
    assert told.returncode != 0
    assert (
        "parameters[\"maskweave.style_prior\"]: got 'none'; allowed: a model of the repository" in told.stdout
    )
