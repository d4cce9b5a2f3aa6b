"""Two versions of each model in one repository: requests name one, or get the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, InvalidRequest, NotFound, PaintedEdit
from tests.support.dolls_images import HERS
from tests.support.dolls_pack import HAIR, LABEL_MAP, write_dolls
from tests.support.faces64_repository import write_repository
from tests.support.gateway_process import gateway_process, run_serve
from tests.support.model_repository import RepositoryWriter
from tests.support.small_pack import LATENT_SCALE, VERSION
from tests.support.versions import add_version

OLD, NEW, BETWEEN = VERSION, "2.0.0", "2.0.0-rc.1"
BLANK = np.zeros((64, 64), np.uint8)


def write(root: Path) -> None:
    write_repository(root)
    write_dolls(RepositoryWriter(root))
    said = f'parameters {{ key: "maskweave.model_version" value {{ string_value: "{OLD}" }} }}\n'
    for name in ("faces64_edit", "faces64_label_reader", "faces64_own"):
        file = root / name / "config.pbtxt"
        file.write_text(file.read_text() + said)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("versions")
    (root / "served").mkdir()
    write(root / "served")
    for version in (NEW, BETWEEN):
        add_version(root / "served", write, root / version, version)
    return root / "served"


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[Client]:
    with gateway_process(repository) as gateway, Client(gateway.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def held(repository: Path) -> Iterator[Client]:
    """Of a gateway whose operator holds the default back."""
    settings = f"faces64={OLD}"
    with (
        gateway_process(repository, default_model_versions=settings) as gateway,
        Client(gateway.address) as connected,
    ):
        yield connected


def test_models_are_listed_once_with_their_versions(client: Client, held: Client) -> None:
    assert [model.name for model in client.models()] == ["dolls", "faces64", "slow", "slow_dolls"]
    for model in client.models():
        assert (model.version, model.available_versions) == (NEW, (NEW, BETWEEN, OLD))
    assert client.model("faces64", version=OLD).version == OLD
    assert client.model("faces64", version=OLD).latent_scale == pytest.approx(LATENT_SCALE)
    assert client.model("faces64").latent_scale == pytest.approx(LATENT_SCALE / 2)
    assert held.model("faces64").version == OLD
    assert held.model("faces64").available_versions == (NEW, BETWEEN, OLD)
    assert held.model("dolls").version == NEW


def synthesized(client: Client, version: str) -> tuple[str, bytes]:
    result = client.synthesize("faces64", BLANK, seed=3, image_format="raw", model_version=version)
    return result.model_version, result.images[0].data


def streamed(client: Client, version: str) -> tuple[str, bytes]:
    (image,) = client.synthesize_stream(
        "faces64",
        sketch=255 - np.eye(64, dtype=np.uint8) * 255,
        seed=3,
        image_format="raw",
        model_version=version,
    )
    return image.model_version, image.image.data


def painted(client: Client, version: str) -> tuple[str, bytes]:
    with client.paint("faces64", BLANK, seed=3, image_format="raw", model_version=version) as session:
        frame = next(session)
        session.update(seed=4)
        later = next(session)
    assert frame.model_version == later.model_version
    return frame.model_version, frame.image.data + later.image.data


def painted_edit(client: Client, version: str) -> tuple[str, bytes]:
    with client.paint(
        "faces64",
        np.ones_like(BLANK),
        seed=3,
        edit=PaintedEdit(source=BLANK),
        image_format="raw",
        model_version=version,
    ) as session:
        frame = next(session)
    return frame.model_version, frame.image.data


def edited(client: Client, version: str) -> tuple[str, bytes]:
    result = client.edit(
        "faces64", 3, np.ones_like(BLANK), source=BLANK, image_format="raw", model_version=version
    )
    return result.model_version, result.images[0].data


def read(client: Client, version: str) -> tuple[str, bytes]:
    reading = client.read_label_map("faces64", 3, image_format="raw", model_version=version)
    assert reading.image is not None
    return reading.model_version, reading.image.data + reading.label_map.tobytes()


def morphed(client: Client, version: str) -> tuple[str, bytes]:
    codes = client.encode_styles("dolls", HERS, LABEL_MAP, model_version=version)
    frames = list(
        client.morph(
            "dolls",
            LABEL_MAP,
            {HAIR: codes[HAIR]},
            None,
            number_of_frames=2,
            seed=1,
            image_format="raw",
            model_version=version,
        )
    )
    assert {frame.model_version for frame in frames} == {codes[HAIR].model_version}
    return codes[HAIR].model_version, b"".join(frame.image.data for frame in frames)


Made = Callable[[Client, str], tuple[str, bytes]]


@pytest.mark.parametrize("made", [synthesized, streamed, painted, painted_edit, edited, read, morphed])
def test_every_method_makes_what_the_version_makes(client: Client, made: Made) -> None:
    assert made(client, "") == made(client, NEW)
    assert made(client, NEW)[0] == NEW
    assert made(client, OLD)[0] == OLD
    assert made(client, OLD)[1] != made(client, NEW)[1]


def test_the_default_is_what_the_operator_says(client: Client, held: Client) -> None:
    assert synthesized(held, "") == synthesized(client, OLD)
    assert synthesized(held, NEW) == synthesized(client, NEW)


def test_an_uploaded_image_is_edited_and_read_by_the_models_of_the_version(client: Client) -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    for version in (OLD, NEW):
        assert client.edit("faces64", image, BLANK, model_version=version).model_version == version
        assert client.read_label_map("faces64", image, model_version=version).model_version == version


@pytest.mark.parametrize("made", [synthesized, streamed, painted, painted_edit, edited, read, morphed])
def test_a_version_that_is_not_served_is_not_found(client: Client, made: Made) -> None:
    with pytest.raises(NotFound, match=r"model version '\w+ 9\.0\.0' does not exist; available: ") as caught:
        made(client, "9.0.0")
    assert caught.value.metadata["resource_type"] == "model version"
    assert f" {NEW}" in str(caught.value)


def test_codes_hold_for_their_version_alone(client: Client) -> None:
    codes = client.encode_styles("dolls", HERS, LABEL_MAP, model_version=OLD)
    with pytest.raises(InvalidRequest, match="model_version"):
        client.synthesize("dolls", LABEL_MAP, styles={HAIR: codes[HAIR]})
    assert client.synthesize("dolls", LABEL_MAP, styles={HAIR: codes[HAIR]}, model_version=OLD)


def test_a_default_that_is_not_there_stops_the_start(repository: Path) -> None:
    done = run_serve(
        model_repository=repository,
        grpc_port=0,
        http_port=0,
        default_model_versions="faces64=9.0.0,face=1.0.0",
    )
    assert done.returncode == 1
    for told in ("faces64=9.0.0, which is not there", f"versions: {NEW}, {BETWEEN}, {OLD}", "face=1.0.0"):
        assert told in done.stdout


def test_a_version_may_be_any_text(client: Client) -> None:
    with pytest.raises(NotFound, match=r"10008 characters"):
        client.model("faces64", version="x" * 10_000)
