"""The verbs draw, edit, morph, read-map and models of the command line, as processes, on shared gateways."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Client, Seed, Style
from tests.support.certificates import Authority
from tests.support.dolls_pack import EYES, HAIR, LABEL_MAP, NOSE, SKIN
from tests.support.fake_service import FakeService, serving
from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.key_file import new_key, write_keys

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]

FACE = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((4, 2), np.uint8))


def command(address: str, folder: Path) -> Command:
    """The command, for a service and in a folder."""

    def run(*arguments: object) -> Done:
        program = ("-m", "maskweave_client._command", *arguments)
        return run_program(*program, environment={"MASKWEAVE_ADDRESS": address}, folder=folder)

    return run


@pytest.fixture
def faces(gateway: GatewayProcess, tmp_path: Path) -> Command:
    return command(gateway.address, tmp_path)


@pytest.fixture
def dolls_command(dolls: GatewayProcess, tmp_path: Path) -> Command:
    return command(dolls.address, tmp_path)


def ids_file(path: Path, ids: NDArray[np.uint8] = FACE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)
    return path


def said(done: Done, code: int = 0) -> str:
    """What it printed, if it ended as expected."""
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_one_drawing_becomes_the_image_that_the_client_gets(
    faces: Command, client: Client, tmp_path: Path
) -> None:
    ids_file(tmp_path / "map.png")
    assert "out.png: 64 x 64, seed 7" in said(
        faces("draw", "--model", "faces64", "map.png", "--seed", 7, "-o", "out.png")
    )
    expected = client.synthesize("faces64", FACE, seed=7).images[0]
    assert (tmp_path / "out.png").read_bytes() == expected.data

    said(faces("draw", "--model", "faces64", "map.png", "--seed", 7, "--images", 2, "-o", "two.jpg"))
    seconds = client.synthesize("faces64", FACE, seeds=[7, 8], image_format="jpeg").images
    assert [(tmp_path / f"two-{number}.jpg").read_bytes() for number in (1, 2)] == [
        image.data for image in seconds
    ]
    assert not (tmp_path / "two.jpg").exists()


def test_a_label_map_in_the_palette_s_colours_is_the_same(
    faces: Command, client: Client, tmp_path: Path
) -> None:
    palette = client.model("faces64").palette
    palette.color_image(FACE).convert("RGB").save(tmp_path / "painted.png")
    said(faces("draw", "--model", "faces64", "painted.png", "--seed", 7, "-o", "out.png"))
    expected = client.synthesize("faces64", FACE, seed=7).images[0]
    assert (tmp_path / "out.png").read_bytes() == expected.data


@pytest.mark.parametrize("kind", ["sketch", "scribble", "exemplar"])
def test_other_kinds_of_drawings(faces: Command, client: Client, tmp_path: Path, kind: str) -> None:
    drawing = tmp_path / "drawing.png"
    image = Image.new("RGB", (64, 64), "white")
    if kind == "scribble":
        layer = Image.new("RGBA", (64, 64))
        layer.paste(client.model("faces64").palette.by_name("hair").rgb, (10, 10, 30, 14))
        image = layer
    else:
        image.paste("black", (10, 10, 30, 14))
    image.save(drawing)
    said(faces("draw", "--as", kind, "--model", "faces64", drawing, "--seed", 7, "-o", "out.webp"))
    with Image.open(tmp_path / "out.webp") as made:
        assert (made.format, made.size) == ("WEBP", (64, 64))


def test_folders_are_resumed_and_failures_listed(faces: Command, client: Client, tmp_path: Path) -> None:
    for name in ("a", "below/b", "c"):
        ids_file(tmp_path / "maps" / f"{name}.png")
    ids_file(tmp_path / "maps" / "wrong.png", FACE + 50)
    (tmp_path / "maps" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "maps" / "notes.txt").write_text("not an image")
    draw = ("draw", "--model", "faces64", "maps", "--seed", 7, "-o", "images")

    done = faces(*draw)
    text = said(done, 1)
    assert "3 made, 0 there already, 2 failed, 0 not tried" in done.stdout
    assert "maps/wrong.png: label_map" in text
    assert "maps/torn.png: " in text
    assert "Traceback" not in text
    made = {str(path.relative_to(tmp_path / "images")) for path in (tmp_path / "images").rglob("*.png")}
    assert made == {"a.png", "below/b.png", "c.png"}
    expected = client.synthesize("faces64", FACE, seed=7).images[0].data
    assert (tmp_path / "images" / "below" / "b.png").read_bytes() == expected

    (tmp_path / "images" / "c.png").unlink()
    (tmp_path / "images" / "a.png").write_bytes(b"kept")
    for name in ("wrong", "torn"):
        ids_file(tmp_path / "maps" / f"{name}.png")
    assert "3 made, 2 there already, 0 failed, 0 not tried" in said(faces(*draw))
    assert (tmp_path / "images" / "a.png").read_bytes() == b"kept"
    assert "5 made, 0 there already" in said(faces(*draw, "--again"))
    assert (tmp_path / "images" / "a.png").read_bytes() == expected
    leftover = [path.name for path in (tmp_path / "images").rglob(".*")]
    assert not leftover


class Painter(FakeService):
    """Answers with images that are none."""

    def Synthesize(  # noqa: N802
        self, request: pb.SynthesizeRequest, context: grpc.ServicerContext
    ) -> pb.SynthesizeResponse:
        super().Synthesize(request, context)
        return pb.SynthesizeResponse(images=[pb.Image(data=b"one", format=pb.IMAGE_FORMAT_PNG)])


def test_a_folder_is_a_batch_and_one_file_is_not(tmp_path: Path) -> None:
    ids_file(tmp_path / "maps" / "a.png")
    painter = Painter(model=pb.Model(name="faces64"))
    with serving(painter) as address:
        run = command(address, tmp_path)
        said(run("draw", "--model", "faces64", "maps", "-o", "images"))
        said(run("draw", "--model", "faces64", "maps/a.png", "-o", "a.png"))
    assert (tmp_path / "images" / "a.png").read_bytes() == b"one"
    asked = [each.priority for each in painter.requests if isinstance(each, pb.SynthesizeRequest)]
    assert asked == [pb.PRIORITY_BATCH, pb.PRIORITY_INTERACTIVE]


def test_what_fails_for_all_is_not_tried_with_each(tmp_path: Path) -> None:
    for number in range(20):
        ids_file(tmp_path / "maps" / f"{number}.png")
    nobody = command("127.0.0.1:1", tmp_path)
    text = said(nobody("draw", "--model", "faces64", "maps", "-o", "images", "--timeout", "5"), 1)
    assert "127.0.0.1:1 cannot be reached" in text
    assert text.count("cannot be reached") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("draw", "--model", "nobody", "a.png", "-o", "b.png"), "`maskweave models` lists what there is"),
        (("draw", "--model", "faces64", "a.png", "maps", "-o", "b.png"), "allowed: a folder"),
        (("draw", "--model", "faces64", "a.png", "-o", "a.png", "--format", "webp"), "--format: got webp"),
        (("draw", "--model", "faces64", "maps", "maps/a.png", "-o", "out"), "would both be written to"),
        (
            (
                "draw",
                "--model",
                "faces64",
                "a.png",
                "--as",
                "sketch",
                "--style",
                "hair=seed:1",
                "-o",
                "b.png",
            ),
            "--style",
        ),
        (("draw", "--model", "faces64", "a.png", "--style", "hair=seed:1", "-o", "b.png"), "has no styles"),
        (("draw", "--model", "faces64", "empty", "-o", "out"), "no images"),
        (("draw", "--model", "faces64", "a.png", "-o", "a.png"), "a.png is read, and would be overwritten"),
        (("draw", "--model", "faces64", "maps", "-o", "maps", "--again"), "would be overwritten"),
        (("edit", "--model", "faces64", "a.png", "-o", "b.png"), "exactly one of --image and --seed"),
        (("edit", "--model", "faces64", "a.png", "--seed", 1, "-o", "b.png"), "allowed with --source"),
        (
            ("draw", "--model", "faces64", "a.png", "-o", "b.png", "--no-tls", "--server-name", "x"),
            "--no-tls",
        ),
    ],
)
def test_wrong_use_is_said_in_a_line(
    faces: Command, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    ids_file(tmp_path / "a.png")
    ids_file(tmp_path / "maps" / "a.png")
    (tmp_path / "empty").mkdir()
    done = faces(*arguments)
    assert done.returncode in (1, 2)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "b.png").exists()


def test_edits_by_image_and_by_seed(faces: Command, client: Client, tmp_path: Path) -> None:
    target = FACE.copy()
    target[:2, :2] = 1
    ids_file(tmp_path / "targets" / "one.png", target)
    ids_file(tmp_path / "targets" / "other.png", target)
    ids_file(tmp_path / "maps" / "one.png")
    image = client.synthesize("faces64", FACE, seed=7).images[0]
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / "one.png")

    edit = ("edit", "--model", "faces64", "targets", "--image", "images", "--source", "maps", "-o", "edited")
    text = said(faces(*edit), 1)
    assert "targets/other.png: --source: maps has no image named other" in text
    expected = client.edit("faces64", image.to_pil(), target, source=FACE).images[0].to_numpy()
    with Image.open(tmp_path / "edited" / "one.png") as made:
        assert np.array_equal(np.asarray(made), expected)

    one = (
        "edit",
        "--model",
        "faces64",
        "targets/one.png",
        "--seed",
        7,
        "--source",
        "maps/one.png",
        "-o",
        "e.png",
    )
    said(faces(*one))
    assert (tmp_path / "e.png").read_bytes() == client.edit("faces64", 7, target, source=FACE).images[0].data


def test_styles(dolls_command: Command, dolls_client: Client, tmp_path: Path) -> None:
    ids_file(tmp_path / "map.png", LABEL_MAP)
    image = dolls_client.synthesize("dolls", LABEL_MAP, seed=5).images[0]
    image.save(tmp_path / "her.png")
    codes = dolls_client.encode_styles("dolls", image.to_pil(), LABEL_MAP)
    (tmp_path / "hair.code").write_bytes(codes[HAIR].to_bytes())
    draw = ("draw", "--model", "dolls", "map.png", "--seed", 1, "-o", "out.png")

    ids_file(tmp_path / "large.png", np.kron(LABEL_MAP, np.ones((3, 3), np.uint8)))  # made the image's size

    said(dolls_command(*draw, "--style", "all=her.png,large.png", "--style", "nose=seed:3"))
    styles: dict[int, Style] = {**codes, NOSE: Seed(3)}
    del styles[SKIN]  # of the nose's style, which was named later
    expected = dolls_client.synthesize("dolls", LABEL_MAP, seed=1, styles=styles).images[0]
    assert (tmp_path / "out.png").read_bytes() == expected.data

    said(dolls_command(*draw, "--style", "hair=hair.code", "--style", f"{EYES}=her.png,map.png"))
    styles = {HAIR: codes[HAIR], EYES: codes[EYES]}
    expected = dolls_client.synthesize("dolls", LABEL_MAP, seed=1, styles=styles).images[0]
    assert (tmp_path / "out.png").read_bytes() == expected.data

    for wrong, message in {
        "hair": "allowed: CLASS=LOOK",
        "hat=seed:1": "allowed: all, background, hair",
        "hair=nothing.code": "No such file",
        "hair=map.png": "no code",
        "hair=seed:x": "seed",
        "hair=seed:4294967296": "seed",
    }.items():
        refused = said(dolls_command(*draw, "--style", wrong), 2)
        assert message in " ".join(refused.split()), refused


def test_morphs_as_gif_and_as_frames(dolls_command: Command, dolls_client: Client, tmp_path: Path) -> None:
    ids_file(tmp_path / "map.png", LABEL_MAP)
    looks = ("--from", "all=seed:3", "--to", "hair=seed:4", "--seed", "1", "--frames", "4")
    morph = ("morph", "--model", "dolls", "map.png", *looks)
    said(dolls_command(*morph, "-o", "frames"))
    everything = {number: Seed(3) for number in (0, HAIR, SKIN, EYES)}
    frames = dolls_client.morph("dolls", LABEL_MAP, everything, {HAIR: Seed(4)}, number_of_frames=4, seed=1)
    images = [frame.image for frame in frames]
    assert [path.read_bytes() for path in sorted((tmp_path / "frames").iterdir())] == [
        image.data for image in images
    ]

    said(dolls_command(*morph, "--there-and-back", "--frame-ms", 100, "-o", "out.gif"))
    with Image.open(tmp_path / "out.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (6, 0, 100)  # type: ignore[attr-defined]
        assert b"trainedAlgorithmicMedia" in gif.info["comment"]
        for index, image in enumerate([*images, images[2], images[1]]):
            gif.seek(index)
            shown = np.asarray(gif.convert("RGB"), int)
            assert abs(shown - image.to_numpy()).max() <= 4


def test_label_maps_are_read_off_images(faces: Command, client: Client, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 50, 3), np.uint8)
    for name in ("one", "two/three"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    wanted = client.read_label_map("faces64", image).label_map
    assert "map.png: 64 x 64, background, hair" in said(
        faces("read-map", "--model", "faces64", "images/one.png", "-o", "map.png")
    )
    with Image.open(tmp_path / "map.png") as read:
        assert read.mode == "P"
        np.testing.assert_array_equal(np.asarray(read), wanted)
    assert "2 made, 0 there already" in said(faces("read-map", "--model", "faces64", "images", "-o", "maps"))
    assert (tmp_path / "maps" / "two" / "three.png").read_bytes() == (tmp_path / "map.png").read_bytes()
    # And it is drawn from as it is.
    said(faces("draw", "--model", "faces64", "map.png", "--seed", 7, "-o", "out.png"))

    told = said(faces("read-map", "--model", "faces64", "--seed", 7, "-o", "own.png", "--image", "own.jpg"))
    assert "own.jpg: 64 x 64, seed 7" in told
    own = client.read_label_map("faces64", 7, image_format="jpeg")
    assert own.image is not None
    assert (tmp_path / "own.jpg").read_bytes() == own.image.data
    with Image.open(tmp_path / "own.png") as read:
        np.testing.assert_array_equal(np.asarray(read), own.label_map)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "allowed: files or folders, or --seed"),
        (("a.png", "--seed", "1"), "allowed: files or folders, or --seed"),
        (("a.png", "--image", "b.png"), "--image: allowed with --seed"),
        (("--seed", "1", "--image", "b.gif"), "--image: got b.gif; allowed: a file ending in .png"),
        (("--seed", "1", "--image", "out.png"), "which is --output"),
        (("--seed", "1", "--jobs", "2"), "--jobs: allowed without --seed"),
        (("--seed", "1", "--again"), "--again: allowed without --seed"),
    ],
    ids=["nothing", "both", "image", "gif", "same", "jobs", "again"],
)
def test_what_read_map_does_not_take_is_said(
    faces: Command, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    ids_file(tmp_path / "a.png")
    assert told in said(faces("read-map", "--model", "faces64", *arguments, "-o", "out.png"), 2)


def test_a_place_that_cannot_be_written_is_said(faces: Command, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for places in (("-o", "folder.png"), ("-o", "map.png", "--image", "folder.png")):
        told = said(faces("read-map", "--model", "faces64", "--seed", 1, *places), 1)
        assert "folder.png" in told
        assert "Traceback" not in told


def test_folders_are_searched_for_what_the_service_takes(faces: Command, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "made" / "one.webp")
    told = said(faces("read-map", "--model", "faces64", "made", "-o", "maps"), 2)
    assert "no images (.png, .jpg, .jpeg) in made" in told


def test_models(faces: Command, client: Client) -> None:
    listed = said(faces("models"))
    assert "faces64 " in listed
    assert "label-map, sketch, scribble, exemplar" in listed
    shown = said(faces("models", "faces64"))
    for entry in client.model("faces64").palette:
        assert f"{entry.id}  {entry.color}  {entry.name}" in shown
    assert "lists what there is" in said(faces("models", "nobody"), 1)


def test_tls_and_keys(repository: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", "authority")
    pair = authority.issue("server")
    key, entry = new_key("reader")
    keys = write_keys(tmp_path / "keys.toml", entry)
    (tmp_path / "key").write_text(key + "\n")
    settings = {"tls_certificate": pair.certificate, "tls_key": pair.key, "api_keys_file": keys}
    with gateway_process(repository, **settings) as gateway:
        run = command(gateway.address, tmp_path)
        assert "faces64" in said(run("models", "--ca", authority.certificate, "--api-key-file", "key"))
        assert "--api-key-file, or the variable" in said(run("models", "--ca", authority.certificate), 1)
        assert "cannot be reached" in said(run("models", "--timeout", "5"), 1)
    away = command("service.example:50051", tmp_path)
    refused = said(away("models", "--api-key-file", "key"), 1)
    assert "allowed: with --tls, to this machine, or with --allow-insecure-key" in refused
    assert key not in refused


def test_the_command_for_clients_alone_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'click'\", name='click')\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    program = "from maskweave_client._command.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("pip install 'maskweave-client[cli]'")
