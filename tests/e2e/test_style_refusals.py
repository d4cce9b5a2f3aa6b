"""What is refused of styles, encodings and morphs, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import (
    Client,
    InvalidRequest,
    Seed,
    Style,
    StyleCode,
    blend,
)
from tests.support.dolls_images import HERS, Pixels, make
from tests.support.dolls_pack import (
    HAIR,
    LABEL_MAP,
    NOSE,
    SIDE,
    SKIN,
    write_dolls,
)
from tests.support.gateway_process import GatewayProcess, channel_to, run_serve
from tests.support.model_repository import RepositoryWriter
from tests.support.small_pack import VERSION

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
        "nan; allowed: -1000",
    ),
    (
        {HAIR: code(values=(0.0, 0.0, float("inf")))},
        "styles[1].code.values[2]",
        "inf; allowed: -1000",
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
    dolls_client: Client, styles: dict[int, Style], field: str, told: str
) -> None:
    for attempt in (
        lambda: dolls_client.synthesize("dolls", LABEL_MAP, seed=1, styles=styles),
        lambda: list(dolls_client.synthesize_stream("dolls", LABEL_MAP, seed=1, styles=styles)),
        lambda: list(dolls_client.morph("dolls", LABEL_MAP, {}, styles, number_of_frames=2)),
    ):
        with pytest.raises(InvalidRequest) as caught:
            attempt()
        (violation,) = caught.value.violations
        assert violation.field in (field, field.replace("styles", "to_styles", 1))
        assert told in violation.description


def test_a_class_that_the_label_map_has_not_is_named(dolls_client: Client) -> None:
    label_map = np.where(LABEL_MAP == HAIR, SKIN, LABEL_MAP).astype(np.uint8)
    with pytest.raises(InvalidRequest, match=r"styles\[1\]: got class id 1; allowed: .* 0, 2, 3, 4"):
        dolls_client.synthesize("dolls", label_map, styles={HAIR: Seed(1)})
    with pytest.raises(InvalidRequest, match=r"from_styles\[1\]: got class id 1"):
        list(dolls_client.morph("dolls", label_map, {HAIR: Seed(1)}, {}, number_of_frames=2))


def test_the_same_for_classes_that_share_a_style_is_allowed(dolls_client: Client) -> None:
    assert make(dolls_client, {SKIN: Seed(1), NOSE: Seed(1)}).data == make(dolls_client, {NOSE: Seed(1)}).data


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
    ids=str,
)
def test_a_morph_that_is_not_allowed_is_refused(
    dolls_client: Client, changed: dict[str, object], field: str, told: str
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
        list(dolls_client.morph(**arguments))  # type: ignore[arg-type]
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


@pytest.mark.parametrize(
    ("image", "label_map", "field", "told"),
    [
        (HERS[:4], LABEL_MAP, "picture.raw", "8 x 4 pixels; allowed: exactly 8 x 8 pixels"),
        (HERS, LABEL_MAP[:4], "label_map", "8 x 4 pixels; allowed: exactly 8 x 8 pixels"),
        (b"", LABEL_MAP, "picture.file", "0 bytes; allowed: a PNG or JPEG"),
        (b"GIF89a", LABEL_MAP, "picture.file", "a GIF file; allowed: a PNG or JPEG"),
        (HERS, np.full((SIDE, SIDE), 9, np.uint8), "label_map.raw", "class id 9"),
    ],
    ids=["small_image", "small_map", "empty", "gif", "unknown_class"],
)
def test_what_cannot_be_encoded_is_refused(
    dolls_client: Client, image: Pixels | bytes, label_map: Pixels, field: str, told: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dolls_client.encode_styles("dolls", image, label_map)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


def test_models_without_styles_say_so(dolls_client: Client) -> None:
    label_map = np.zeros((64, 64), np.uint8)
    with pytest.raises(InvalidRequest, match="styles: got 1 classes; allowed: none for faces64"):
        dolls_client.synthesize("faces64", label_map, styles={1: Seed(1)})
    with pytest.raises(InvalidRequest, match="model: got faces64, of the method sis-ug"):
        dolls_client.encode_styles("faces64", np.zeros((64, 64, 3), np.uint8), label_map)
    with pytest.raises(InvalidRequest, match=r"style_strength: got 0\.5; allowed: unset for dolls"):
        dolls_client.synthesize("dolls", LABEL_MAP, style_strength=0.5)


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
