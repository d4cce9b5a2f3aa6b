"""What the service says about itself: models, palettes, limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client, Condition, InvalidRequest, NotFound, StyleStrength
from service.core.limits import LIMITS
from tests.support.small_pack import LATENT_SCALE, LATENT_SIZE, PALETTE, VERSION


def test_models_are_listed_by_name(client: Client) -> None:
    assert [model.name for model in client.models()] == ["faces64", "slow"]


def test_model_describes_itself(client: Client) -> None:
    model = client.model("faces64")
    assert (model.name, model.title, model.version) == ("faces64", "Title of faces64", VERSION)
    assert (model.image_width, model.image_height) == (64, 64)
    assert model.latent_size == LATENT_SIZE
    assert model.latent_scale == pytest.approx(LATENT_SCALE)
    strength = StyleStrength(min=0.0, max=1.0, default=0.5)
    assert model.conditions == (
        Condition("label_map", 64, 64, strength),
        Condition("sketch", 64, 64, strength, min_sketch_ink=32, max_mean_sketch_ink=128),
        Condition("scribble", 64, 64, strength),
        Condition("proxy_mask", 32, 32, None, proxy_clusters=26),
        Condition("exemplar", 64, 64, None),
    )
    assert [(entry.id, entry.name, entry.title, entry.color) for entry in model.palette] == list(PALETTE)
    assert model.limits.max_images == LIMITS.max_images
    assert model.limits.max_label_map_pixels == LIMITS.max_pixels
    assert model in client.models()


def test_palette_goes_there_and_back(client: Client, label_map: NDArray[np.uint8]) -> None:
    palette = client.model("faces64").palette
    image = palette.color_image(label_map)
    np.testing.assert_array_equal(np.asarray(image), label_map)
    np.testing.assert_array_equal(palette.label_map(image), label_map)
    np.testing.assert_array_equal(palette.label_map(np.asarray(image.convert("RGB"))), label_map)


def test_pages(stub: pb_grpc.SynthesisServiceStub) -> None:
    first = stub.ListModels(pb.ListModelsRequest(page_size=1))
    second = stub.ListModels(pb.ListModelsRequest(page_size=1, page_token=first.next_page_token))
    assert [model.name for model in first.models] == ["faces64"]
    assert [model.name for model in second.models] == ["slow"]
    assert not second.next_page_token


def test_unknown_model_says_which_there_are(client: Client) -> None:
    with pytest.raises(NotFound, match=r"'faces65'.*faces64, slow") as caught:
        client.model("faces65")
    assert caught.value.metadata["resource_name"] == "faces65"


def test_model_name_is_required(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="faces64, slow") as caught:
        client.model("")
    assert [violation.field for violation in caught.value.violations] == ["name"]
