"""Images say that a model made them: over a real socket, read by libraries that nobody here wrote."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import c2pa
import numpy as np
import pytest
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client, GeneratedImage
from tests.support import dolls_pack
from tests.support.certificates import Authority, Pair
from tests.support.dolls_pack import write_dolls
from tests.support.faces64_editing import write_editor
from tests.support.faces64_repository import write_faces64
from tests.support.gateway_process import GatewayProcess, gateway_process, run_serve
from tests.support.model_repository import RepositoryWriter
from tests.support.small_pack import VERSION
from tests.support.xmp import xmp_tags

FORMATS: list[Literal["png", "jpeg", "webp"]] = ["png", "jpeg", "webp"]
LABEL_MAP = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((32, 16), np.uint8))
UPLOADED = np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8)

MADE, EDITED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"

Maker = Callable[..., GeneratedImage]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs for every method."""
    root = tmp_path_factory.mktemp("marked")
    writer = RepositoryWriter(root)
    write_faces64(writer)
    write_editor(writer)
    write_dolls(writer)
    return root


@pytest.fixture(scope="module")
def gateway(repository: Path) -> Iterator[GatewayProcess]:
    """A gateway as it comes."""
    with gateway_process(repository) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The operator's authority."""
    return Authority(tmp_path_factory.mktemp("signers"), "authority")


def synthesized(client: Client, **options: object) -> GeneratedImage:
    return client.synthesize("faces64", LABEL_MAP, seed=7, **options).images[0]  # type: ignore[arg-type]


def streamed(client: Client, **options: object) -> GeneratedImage:
    (found,) = client.synthesize_stream("faces64", LABEL_MAP, seed=7, **options)  # type: ignore[arg-type]
    return found.image


def painted(client: Client, **options: object) -> GeneratedImage:
    with client.paint("faces64", LABEL_MAP, seed=7, **options) as session:  # type: ignore[arg-type]
        session.finish()
        return next(iter(session)).image


def morphed(client: Client, **options: object) -> GeneratedImage:
    styles = client.encode_styles("dolls", UPLOADED[:8, :8], dolls_pack.LABEL_MAP)
    frames = client.morph("dolls", dolls_pack.LABEL_MAP, styles, styles, number_of_frames=2, **options)  # type: ignore[arg-type]
    return next(iter(frames)).image


def edited_seed(client: Client, **options: object) -> GeneratedImage:
    return client.edit("faces64", 7, LABEL_MAP[::-1], source=LABEL_MAP, **options).images[0]  # type: ignore[arg-type]


def edited_upload(client: Client, **options: object) -> GeneratedImage:
    return client.edit("faces64", UPLOADED, LABEL_MAP[::-1], source=LABEL_MAP, **options).images[0]  # type: ignore[arg-type]


def made_anew(client: Client, **options: object) -> GeneratedImage:
    return client.edit("faces64", UPLOADED, LABEL_MAP, **options).images[0]  # type: ignore[arg-type]


MAKERS: dict[Maker, tuple[str, str]] = {
    synthesized: ("faces64", MADE),
    streamed: ("faces64", MADE),
    painted: ("faces64", MADE),
    morphed: ("dolls", MADE),
    edited_seed: ("faces64", MADE),
    edited_upload: ("faces64", EDITED),
    made_anew: ("faces64", EDITED),
}


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_every_method_says_how_its_images_came_about(
    gateway: GatewayProcess, make: Maker, image_format: str
) -> None:
    model, source = MAKERS[make]
    with Client(gateway.address) as client:
        image = make(client, image_format=image_format)
        version = client.model(model).version
        again = make(client, image_format=image_format)
    assert xmp_tags(image.data) == {
        "Xmp.xmp.CreatorTool": "Maskweave",
        "Xmp.iptcExt.DigitalSourceType": VOCABULARY + source,
        "Xmp.iptcExt.AISystemUsed": model,
        "Xmp.iptcExt.AISystemVersionUsed": version,
    }
    assert (image.digital_source_type, image.marked, image.content_credentials) == (source, True, False)
    assert again.data == image.data


def test_raw_pixels_say_it_beside_them(gateway: GatewayProcess) -> None:
    with Client(gateway.address) as client:
        image = edited_upload(client, image_format="raw")
    assert len(image.data) == 64 * 64 * 3
    assert (image.digital_source_type, image.marked) == (EDITED, False)


def test_saved_files_keep_the_mark(gateway: GatewayProcess, tmp_path: Path) -> None:
    with Client(gateway.address) as client:
        image = synthesized(client, image_format="webp")
        raw = synthesized(client, image_format="raw")
    image.save(tmp_path / "face.WEBP")
    assert xmp_tags((tmp_path / "face.WEBP").read_bytes())["Xmp.iptcExt.AISystemUsed"] == "faces64"
    image.to_pil().save(tmp_path / "anew.jpg", xmp=image.to_pil().info["xmp"])
    assert xmp_tags((tmp_path / "anew.jpg").read_bytes()) == xmp_tags(image.data)
    with pytest.raises(ValueError, match=r"path: got '.*face.png' for an image in webp; allowed: .webp"):
        image.save(tmp_path / "face.png")
    with pytest.raises(ValueError, match="raw pixels, which are no file"):
        raw.save(tmp_path / "face.raw")


def test_an_operator_can_switch_it_off(repository: Path) -> None:
    with gateway_process(repository, mark_images=False) as gateway, Client(gateway.address) as client:
        image = synthesized(client)
        assert "mark_images False" in gateway.output
    assert xmp_tags(image.data) == {}
    assert (image.digital_source_type, image.marked) == (MADE, False)


def verified(image: GeneratedImage, authority: Authority) -> tuple[str, dict[str, object]]:
    """What C2PA's own reader says to an image, and the action that its manifest tells of."""
    trust = {"trust": {"user_anchors": authority.certificate.read_text()}, "verify": {"verify_trust": True}}
    with c2pa.Reader(
        f"image/{image.format}", io.BytesIO(image.data), context=c2pa.Context.from_dict(trust)
    ) as reader:
        manifest = json.loads(reader.json())
        state = reader.get_validation_state()
    active = manifest["manifests"][manifest["active_manifest"]]
    (actions,) = (each for each in active["assertions"] if each["label"] == "c2pa.actions.v2")
    assert active["claim_generator_info"][0]["name"] == "Maskweave"
    (action,) = actions["data"]["actions"]
    return state, action


@pytest.fixture(scope="module")
def signer(authority: Authority) -> Pair:
    """The operator's certificate for images."""
    return authority.issue_signing("signer")


@pytest.fixture(scope="module")
def signing_gateway(repository: Path, signer: Pair) -> Iterator[GatewayProcess]:
    """A gateway that signs."""
    with gateway_process(repository, c2pa_certificate=signer.certificate, c2pa_key=signer.key) as running:
        yield running


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("make", [synthesized, edited_upload], ids=lambda make: make.__name__)
def test_the_operators_signature_is_verified_by_c2pa(
    signing_gateway: GatewayProcess, authority: Authority, make: Maker, image_format: str
) -> None:
    _, source = MAKERS[make]
    with Client(signing_gateway.address) as client:
        image = make(client, image_format=image_format)
        raw = make(client, image_format="raw")
    state, action = verified(image, authority)
    assert state == "Trusted"
    assert action["digitalSourceType"] == VOCABULARY + source
    assert action["softwareAgent"] == {"name": "faces64", "version": VERSION}
    assert xmp_tags(image.data)["Xmp.iptcExt.DigitalSourceType"] == VOCABULARY + source
    assert (image.marked, image.content_credentials) == (True, True)
    assert not raw.content_credentials


def test_a_changed_pixel_is_noticed(signing_gateway: GatewayProcess, authority: Authority) -> None:
    with Client(signing_gateway.address) as client:
        image = synthesized(client, image_format="webp")
    changed = bytearray(image.data)
    changed[60] ^= 1
    forged = GeneratedImage(bytes(changed), image.format, image.width, image.height, image.seed)
    assert verified(forged, authority)[0] == "Invalid"


def test_another_authority_is_not_trusted(signing_gateway: GatewayProcess, tmp_path: Path) -> None:
    with Client(signing_gateway.address) as client:
        image = synthesized(client)
    assert verified(image, Authority(tmp_path, "others"))[0] == "Valid"


def test_a_new_certificate_signs_without_a_restart(
    repository: Path, authority: Authority, tmp_path: Path
) -> None:
    files = Pair(tmp_path / "images.crt", tmp_path / "images.key")
    first, second = authority.issue_signing("first"), authority.issue_signing("second")
    first.move_over(files)
    with (
        gateway_process(repository, c2pa_certificate=files.certificate, c2pa_key=files.key) as gateway,
        Client(gateway.address) as client,
    ):
        assert b"first" in synthesized(client).data
        files.key.write_text("no key")
        gateway.wait_for_metric('maskweave_reloads_total{result="refused",what="signing certificate"} 1.0')
        assert synthesized(client).content_credentials
        second.move_over(files)
        gateway.wait_for_metric('maskweave_reloads_total{result="ok",what="signing certificate"} 1.0')
        image = synthesized(client)
        assert verified(image, authority)[0] == "Trusted"
        assert b"second" in image.data


def test_one_that_has_expired_leaves_images_unsigned_and_says_so(
    repository: Path, authority: Authority
) -> None:
    pair = authority.issue_signing("expired", days=-1)
    with (
        gateway_process(repository, c2pa_certificate=pair.certificate, c2pa_key=pair.key) as gateway,
        Client(gateway.address) as client,
    ):
        image, _ = synthesized(client), synthesized(client)
        assert (image.marked, image.content_credentials) == (True, False)
        assert gateway.metric("maskweave_certificate_expiry_seconds") == 0
        assert "expired.crt: has expired; images are not signed" in gateway.output
        assert gateway.output.count("images go out without Content Credentials") == 1


def test_the_check_before_a_start_looks_at_it(repository: Path, signer: Pair) -> None:
    settings = {"model_repository": repository, "c2pa_certificate": signer.certificate}
    good = run_serve("--check", c2pa_key=signer.key, **settings)
    assert good.returncode == 0, good.stdout
    alone = run_serve("--check", **settings)
    assert "c2pa_key: not set; c2pa_certificate and c2pa_key are set together" in alone.stdout


def test_the_wire_says_it_for_clients_in_other_languages(gateway: GatewayProcess) -> None:
    import grpc  # noqa: PLC0415

    raw = pb.LabelMap(raw=pb.RawLabelMap(data=LABEL_MAP.tobytes(), width=64, height=64))
    with grpc.insecure_channel(gateway.address) as channel:
        request = pb.SynthesizeRequest(model="faces64", label_map=raw, seed=1)
        image = pb_grpc.SynthesisServiceStub(channel).Synthesize(request).images[0]
    assert image.digital_source_type == pb.DIGITAL_SOURCE_TYPE_TRAINED_ALGORITHMIC_MEDIA
    with Image.open(io.BytesIO(image.data)) as file:
        assert b"trainedAlgorithmicMedia" in file.info["xmp"]
