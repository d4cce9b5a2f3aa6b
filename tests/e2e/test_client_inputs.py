"""What people have at hand, through the client and a real gateway: it counts as they see it."""

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
from maskweave_client import Client, MorphFrame, Seed
from tests.support.dolls_pack import HAIR
from tests.support.dolls_pack import LABEL_MAP as DOLLS_MAP
from tests.support.shipped import LABEL_MAPS
from tests.support.turned import ORIENTATIONS, turned_file

Labels = NDArray[np.uint8]


def renumbered(client: Client, ids: Labels, model: str = "faces64") -> Image.Image:
    """The same colours under other ids, as a program that optimises files leaves them."""
    entries = client.model(model).palette.entries
    order = np.roll(np.arange(len(entries)), 3)
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[ids])
    image.putpalette([part for index in order for part in entries[index].rgb])
    return image


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_renumbered_palette_gives_the_same_image(client: Client, label_map: Labels, tmp_path: Path) -> None:
    wanted = client.synthesize("faces64", label_map, seed=3).images
    image = renumbered(client, label_map)
    path = tmp_path / "optimised.png"
    path.write_bytes(png(image))
    for given in (image, path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        assert client.synthesize("faces64", given, seed=3).images == wanted
    target = label_map.copy()
    target[:8] = 2
    edited = client.edit("faces64", 3, target, source=label_map).images
    assert client.edit("faces64", 3, renumbered(client, target), source=image).images == edited


def test_a_renumbered_palette_is_painted_on_as_it_looks(client: Client, label_map: Labels) -> None:
    wanted = [client.synthesize("faces64", ids, seed=3).images[0] for ids in (label_map, label_map.T)]
    with client.paint("faces64", renumbered(client, label_map), seed=3) as session:
        assert next(session).image == wanted[0]
        session.update(label_map=renumbered(client, np.ascontiguousarray(label_map.T)))
        assert next(session).image == wanted[1]


def test_a_renumbered_palette_is_morphed_as_it_looks(dolls_client: Client) -> None:
    def frames(label_map: Labels | Image.Image) -> list[MorphFrame]:
        ends = ({HAIR: Seed(1)}, {HAIR: Seed(2)})
        return list(dolls_client.morph("dolls", label_map, *ends, number_of_frames=2, seed=1))

    one, other = frames(DOLLS_MAP), frames(renumbered(dolls_client, DOLLS_MAP, "dolls"))
    assert [frame.image for frame in one] == [frame.image for frame in other]


@pytest.mark.parametrize("kind", ["exemplar", "sketch"])
def test_a_photograph_of_12_megapixels_is_taken(
    client: Client, stub: pb_grpc.SynthesisServiceStub, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "photo.jpg"
    Image.linear_gradient("L").resize((4000, 3000)).point(lambda grey: 60 + grey * 3 // 4).convert(
        "RGB"
    ).save(path)
    (image,) = client.synthesize("faces64", seed=3, **{kind: path}).images  # type: ignore[arg-type]
    assert (image.width, image.height) == (64, 64)
    request = pb.SynthesizeRequest(model="faces64", exemplar=pb.Exemplar(file=path.read_bytes()))
    with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):  # what the service says of it as it is
        stub.Synthesize(request, timeout=30)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["label_map", "sketch", "exemplar", "scribble"])
def test_an_image_counts_as_it_is_shown(
    client: Client, label_map: Labels, kind: str, orientation: int
) -> None:
    shown: dict[str, NDArray[np.uint8]] = {
        "label_map": label_map,
        "scribble": label_map,
        "sketch": np.where(np.tri(40, 64, dtype=bool), 0, 255).astype(np.uint8),
        "exemplar": np.dstack([label_map * 30] * 3),
    }
    wanted = client.synthesize("faces64", seed=3, **{kind: shown[kind]}).images  # type: ignore[arg-type]
    with Image.open(io.BytesIO(turned_file(shown[kind], orientation))) as image:
        assert client.synthesize("faces64", seed=3, **{kind: image}).images == wanted  # type: ignore[arg-type]


def test_a_label_map_resized_by_the_palette_is_the_one_that_the_service_resizes(client: Client) -> None:
    palette = client.model("faces64").palette
    with Image.open(LABEL_MAPS[0]) as image:
        ids = np.asarray(palette.resize(image, 200, 150))
    wanted = client.synthesize("faces64", ids, seed=3).images
    assert client.synthesize("faces64", palette.resize(ids, 64, 64), seed=3).images == wanted
