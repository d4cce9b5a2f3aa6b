"""The inverter, what it learns from, and what its configuration must be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from training.networks.unet import frozen
from training.sis_ug.config import PackConfig, inversion_section, load_config
from training.sis_ug.inversion.distortion import distorted
from training.sis_ug.inversion.inverter import Inverter
from training.sis_ug.inversion.reconstruction import decibels


def changed(**section: Any) -> PackConfig:
    config = load_config("faces64").model_dump()
    return PackConfig.model_validate({**config, "inversion": {**config["inversion"], **section}})


def inverter() -> Inverter:
    torch.manual_seed(0)
    return Inverter({8: 12, 16: 6}, 32, (4, 8, 16), depth=2).eval()


def test_features_are_of_the_generators_shapes_and_not_below_zero() -> None:
    found = inverter()(torch.rand(3, 3, 64, 64) * 2 - 1)
    assert {r: tuple(f.shape) for r, f in found.items()} == {8: (3, 12, 8, 8), 16: (3, 6, 16, 16)}
    assert list(found) == [8, 16], "coarse to fine, as stages name them"
    assert all(f.min() >= 0 for f in found.values())


def test_the_image_reaches_every_feature_map() -> None:
    image = torch.zeros(1, 3, 64, 64, requires_grad=True)
    for features in inverter()(image).values():
        (gradient,) = torch.autograd.grad(features.sum(), image, retain_graph=True)
        assert gradient.abs().sum((0, 2, 3)).min() > 0


def test_folding_changes_nothing() -> None:
    network, images = inverter(), torch.rand(2, 3, 64, 64) * 2 - 1
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    for one, other in zip(network(images).values(), frozen(network)(images).values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_distorted_images_are_images_and_follow_the_generator_given() -> None:
    images = torch.rand(8, 3, 64, 64) * 2 - 1
    one, same, other = (distorted(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == images.shape
    assert one.abs().max() <= 1
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert ((one - images).abs().mean((1, 2, 3)) > 0.02).all(), "each is distorted"


def test_decibels() -> None:
    wanted = torch.zeros(2, 3, 4, 4)
    assert decibels(wanted + 0.2, wanted).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)
    assert decibels(wanted, wanted).tolist() == pytest.approx([100.0, 100.0], abs=1e-3)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"widths": (8, 8)}, "inversion.widths: needs 3 numbers, for 32 cells a side down to 8, found 2"),
        ({"plain_fraction": 0.01}, "plain_fraction: 0.01 of a batch of 16 are 0 samples"),
        (
            {"weights": {"image": 1, "features": {32: 1.0}, "kept": 1}},
            r"inversion.weights.features: can have the resolutions \[8, 16\], found \[32\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        changed(**section)


def test_a_pack_without_the_section_says_so() -> None:
    config = load_config("faces64").model_copy(update={"inversion": None})
    with pytest.raises(ValueError, match=r"pack 'faces64': its configuration has no section \[inversion\]"):
        inversion_section(config)
