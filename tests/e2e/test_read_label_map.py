"""Label maps read off images, over a real socket, on a pack in which one sees what was read."""

from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import AsyncClient, Client, InvalidRequest, NotFound, ReadingSupport
from service.core.limits import LIMITS
from tests.support.faces64_reading import read_by_hand, write_label_reader
from tests.support.faces64_repository import write_faces64
from tests.support.gateway_process import GatewayProcess, gateway_process, run_serve
from tests.support.model_repository import RepositoryWriter

Pixels = NDArray[np.uint8]

SIDE = 64
IMAGE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
READ = read_by_hand(IMAGE)
READS_FACES64 = 'parameters { key: "maskweave.reads_labels" value { string_value: "faces64" } }\n'


def picture(pixels: Pixels = IMAGE) -> pb.SourcePicture:
    height, width, _ = pixels.shape
    return pb.SourcePicture(raw=pb.RawPicture(data=pixels.tobytes(), width=width, height=height))


def request(**fields: object) -> pb.ReadLabelMapRequest:
    return pb.ReadLabelMapRequest(model="faces64", **fields)  # type: ignore[arg-type]


def file_of(pixels: Pixels, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def test_the_model_tells_what_it_reads(client: Client, dolls_client: Client) -> None:
    assert client.model("faces64").reading == ReadingSupport(images=True, seeds=True)
    assert client.model("slow").reading is None
    assert dolls_client.model("dolls").reading is None


@pytest.mark.parametrize("kind", ["pixels", "PNG", "image"])
def test_the_label_map_of_an_image(client: Client, kind: str) -> None:
    given = {"pixels": IMAGE, "PNG": file_of(IMAGE, "PNG"), "image": Image.fromarray(IMAGE)}[kind]
    reading = client.read_label_map("faces64", given)  # type: ignore[arg-type]
    np.testing.assert_array_equal(reading.label_map, READ)
    assert reading.image is None
    assert [stage.stage for stage in reading.timings.stages] == ["faces64_label_reader"]
    assert reading.model_version == client.model("faces64").version


def test_an_image_of_another_size_is_resized(client: Client) -> None:
    large = IMAGE.repeat(3, 0).repeat(5, 1)
    wanted = np.asarray(Image.fromarray(large).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(client.read_label_map("faces64", large).label_map, read_by_hand(wanted))


def test_a_photograph_is_turned_upright(client: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    grey = np.full((SIDE, SIDE, 3), 10, np.uint8)
    grey[: SIDE // 2] = 245
    reading = client.read_label_map("faces64", file_of(grey, "JPEG", exif=exif, quality=100))
    assert set(np.unique(reading.label_map[:, SIDE // 2 + 1 :])) == {7}
    assert set(np.unique(reading.label_map[:, : SIDE // 2 - 1])) == {0}


def test_a_seed_gives_the_generators_own_image_and_its_label_map(client: Client) -> None:
    one, other = (client.read_label_map("faces64", seed) for seed in (7, 8))
    assert one.image is not None
    assert other.image is not None
    assert (one.image.seed, one.image.format) == (7, "png")
    assert one.image.marked
    np.testing.assert_array_equal(one.label_map, read_by_hand(one.image.to_numpy()))
    assert one.image.to_numpy()[0, :, 1].tolist() == [2 * x for x in range(SIDE)]
    assert one.image.data != other.image.data
    assert [stage.stage for stage in one.timings.stages] == ["faces64_generator", "faces64_label_reader"]
    # What was read is a condition as it is.
    assert client.synthesize("faces64", one.label_map, seed=7).images[0].seed == 7


def test_a_latent_is_as_good_as_a_seed(client: Client) -> None:
    reading = client.read_label_map("faces64", None, latent=np.full(100, 0.25, np.float32))
    assert reading.image is not None
    assert reading.image.seed is None
    assert set(np.unique(reading.image.to_numpy()[..., 0])) == {178}
    assert set(np.unique(reading.label_map)) == {178 // 32}


def test_every_encoding_says_the_same(stub: pb_grpc.SynthesisServiceStub, client: Client) -> None:
    reply = stub.ReadLabelMap(request(picture=picture()))
    with Image.open(io.BytesIO(reply.label_map.png)) as png:
        assert png.mode == "P"
        np.testing.assert_array_equal(np.asarray(png), READ)
        shown = np.asarray(png.convert("RGB"))
    np.testing.assert_array_equal(client.model("faces64").palette.label_map(shown), READ)
    named = stub.ReadLabelMap(request(picture=picture(), label_map_encoding=pb.LABEL_MAP_ENCODING_PNG))
    assert named.label_map == reply.label_map
    raw = stub.ReadLabelMap(request(picture=picture(), label_map_encoding=pb.LABEL_MAP_ENCODING_RAW))
    assert raw.label_map.raw == pb.RawLabelMap(data=READ.tobytes(), width=SIDE, height=SIDE)
    encoding = pb.LABEL_MAP_ENCODING_RUN_LENGTH
    runs = stub.ReadLabelMap(request(picture=picture(), label_map_encoding=encoding)).label_map.run_length
    assert (runs.width, runs.height) == (SIDE, SIDE)
    assert np.repeat(list(runs.class_ids), list(runs.lengths)).tolist() == READ.ravel().tolist()
    # The service takes all of them back.
    for label_map in (reply.label_map, raw.label_map, pb.LabelMap(run_length=runs)):
        stub.Synthesize(pb.SynthesizeRequest(model="faces64", label_map=label_map, seed=1))


def test_the_image_of_a_seed_comes_in_the_format_that_is_asked_for(client: Client) -> None:
    for kind in ("jpeg", "webp", "raw"):
        quality = None if kind == "raw" else 80
        image = client.read_label_map("faces64", 7, image_format=kind, quality=quality).image
        assert image is not None
        assert (image.format, image.to_numpy().shape) == (kind, (SIDE, SIDE, 3))


def test_the_same_request_gives_the_same_bytes(stub: pb_grpc.SynthesisServiceStub) -> None:
    for sent in (request(picture=picture()), request(seed=7)):
        one, other = (stub.ReadLabelMap(sent) for _ in range(2))
        assert (one.label_map, one.image) == (other.label_map, other.image)


async def test_the_client_for_asyncio_does_the_same(gateway: GatewayProcess, client: Client) -> None:
    async with AsyncClient(gateway.address) as other:
        for source in (IMAGE, 7):
            reading = await other.read_label_map("faces64", source)
            wanted = client.read_label_map("faces64", source)
            np.testing.assert_array_equal(reading.label_map, wanted.label_map)
            assert reading.image == wanted.image


def test_it_can_be_asked_over_http(gateway: GatewayProcess) -> None:
    call = urllib.request.Request(
        f"{gateway.http}/maskweave.v1.SynthesisService/ReadLabelMap",
        json.dumps({"model": "faces64", "seed": 7, "labelMapEncoding": "LABEL_MAP_ENCODING_RAW"}).encode(),
        {"content-type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(call, timeout=60) as reply:
        answer = json.load(reply)
    assert (answer["labelMap"]["raw"]["width"], answer["image"]["seed"]) == (SIDE, 7)


@pytest.mark.parametrize(
    ("what", "changed", "field", "told"),
    [
        (b"GIF89a", {}, "picture.file", "a GIF file; allowed: a PNG or JPEG"),
        (b"", {}, "picture.file", "0 bytes; allowed: a PNG or JPEG"),
        (
            file_of(IMAGE, "PNG")[:200],
            {},
            "picture.file",
            "cut off after 200 bytes, in the chunk IDAT; allowed: a complete PNG file",
        ),
        (
            bytes(LIMITS.max_encoded_bytes + 1),
            {},
            "picture.file",
            f"at most {LIMITS.max_encoded_bytes} bytes",
        ),
        (7, {"quality": 50}, "image_quality", "got 50; allowed: unset for PNG"),
        (7, {"quality": 101, "image_format": "jpeg"}, "image_quality", "got 101; allowed: 1 to 100"),
        (IMAGE, {"quality": 50}, "image_quality", "got 50; allowed: unset with a picture"),
        (None, {"latent": [1.0, 2.0]}, "latent.values", "2 numbers; allowed: exactly 100"),
        (None, {"latent": [float("nan")] * 100}, "latent.values[0]", "nan; allowed: finite numbers"),
    ],
    ids=["gif", "empty", "cut", "huge", "png", "quality", "picture", "short_latent", "nan"],
)
def test_what_is_not_allowed_is_named(
    client: Client, what: Pixels | bytes | int | None, changed: dict[str, object], field: str, told: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.read_label_map("faces64", what, **changed)  # type: ignore[arg-type]
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (request(), "source: got no source; allowed: one of picture, seed, latent"),
        (request(picture=pb.SourcePicture()), "picture: got no encoding; allowed: one of file, raw"),
        (request(seed=1, label_map_encoding=9), "label_map_encoding: got 9; allowed: LABEL_MAP_ENCODING_"),
        (request(seed=1, image_format=9), "image_format: got 9; allowed: IMAGE_FORMAT_"),
        (request(seed=1, priority=9), "priority: got 9; allowed: PRIORITY_"),
        (
            request(picture=picture(), image_format=pb.IMAGE_FORMAT_JPEG),
            "image_format: got JPEG; allowed: unset with a picture",
        ),
        (pb.ReadLabelMapRequest(seed=1), "model: got an empty name"),
        (
            request(picture=pb.SourcePicture(raw=pb.RawPicture(data=b"123", width=2, height=1))),
            r"picture.raw.data: got 3 bytes; allowed: exactly 6 bytes",
        ),
        (
            request(picture=pb.SourcePicture(raw=pb.RawPicture(width=LIMITS.max_side + 1, height=1))),
            "picture.raw",
        ),
    ],
    ids=["source", "encoding", "label_map", "format", "priority", "unused", "model", "short", "wide"],
)
def test_what_is_left_out_or_wrong_is_named(
    stub: pb_grpc.SynthesisServiceStub, sent: pb.ReadLabelMapRequest, told: str
) -> None:
    with pytest.raises(grpc.RpcError, match=told) as caught:
        stub.ReadLabelMap(sent)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_models_that_read_nothing_say_so(client: Client, dolls_client: Client) -> None:
    with pytest.raises(
        InvalidRequest,
        match=r"slow .*, which reads no label maps here; allowed: a model that reads label maps: faces64 1",
    ):
        client.read_label_map("slow", 7)
    with pytest.raises(InvalidRequest, match="a model that reads label maps: none here"):
        dolls_client.read_label_map("dolls", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(NotFound, match="cats"):
        client.read_label_map("cats", 7)
    with pytest.raises(NotFound, match=r"faces64 9\.9\.9"):
        client.read_label_map("faces64", 7, model_version="9.9.9")


def test_it_is_told_and_counted(stub: pb_grpc.SynthesisServiceStub, gateway: GatewayProcess) -> None:
    def counted(**labels: str) -> float:
        return gateway.metric("maskweave_images_total", model="faces64", **labels)

    def reads() -> float:
        return gateway.metric("grpc_server_handled_total", grpc_method="ReadLabelMap", grpc_code="OK")

    images, unconditional, calls = counted(), counted(condition="none", format="png"), reads()
    _, call = stub.ReadLabelMap.with_call(request(picture=picture()))
    trailer = dict(call.trailing_metadata() or ())
    assert "faces64_label_reader;dur=" in str(trailer["server-timing"])
    stub.ReadLabelMap(request(seed=7))
    # Only of the seed an image is made for the caller.
    assert (counted(), counted(condition="none", format="png")) == (images + 1, unconditional + 1)
    assert reads() == calls + 2


def test_a_reader_of_images_alone_reads_nothing_of_seeds(tmp_path: Path) -> None:
    writer = RepositoryWriter(tmp_path)
    write_faces64(writer)
    write_label_reader(writer, READS_FACES64)
    with gateway_process(tmp_path) as running, Client(running.address) as client:
        assert client.model("faces64").reading == ReadingSupport(images=True, seeds=False)
        np.testing.assert_array_equal(client.read_label_map("faces64", IMAGE).label_map, READ)
        for source in ({"image_or_seed": 7}, {"image_or_seed": None, "latent": [0.0] * 100}):
            with pytest.raises(InvalidRequest, match="allowed: a picture, for faces64, which makes no image"):
                client.read_label_map("faces64", **source)


def test_a_repository_with_two_readers_of_a_pack_is_not_served(tmp_path: Path) -> None:
    writer = RepositoryWriter(tmp_path)
    write_faces64(writer)
    for name in ("one", "two"):
        write_label_reader(writer, READS_FACES64, name)
    done = run_serve(model_repository=tmp_path, grpc_port=0, http_port=0)
    assert done.returncode != 0
    assert "which one reads already" in done.stdout


def test_a_reader_whose_pack_was_taken_out_is_passed_over(tmp_path: Path) -> None:
    writer = RepositoryWriter(tmp_path)
    write_faces64(writer)
    write_label_reader(writer, READS_FACES64.replace("faces64", "cats"))
    with gateway_process(tmp_path) as running, Client(running.address) as client:
        assert client.model("faces64").reading is None
        running.wait_for_output("label reader without its pack")


@pytest.mark.parametrize("form", ["file", "array"])
def test_a_photograph_of_a_camera_is_made_smaller(client: Client, form: str) -> None:
    photo = np.full((3000, 4000, 3), 96, np.uint8)
    sent = photo if form == "array" else file_of(photo, "JPEG")
    assert (client.read_label_map("faces64", sent).label_map == read_by_hand(photo)[0, 0]).all()
