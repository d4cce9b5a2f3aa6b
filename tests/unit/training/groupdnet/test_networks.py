"""GroupDNet: crops, groups that are really independent, published sizes, losses."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from tests.support.tiny_groupdnet import quarters, tiny
from training.groupdnet.config import load_styles_config
from training.groupdnet.losses import (
    feature_matching,
    hinge_discriminator,
    hinge_generator,
    kl_divergence,
    leak_loss,
    pixel_loss,
)
from training.groupdnet.network_config import BlockSection, NetworkSection
from training.groupdnet.networks.crops import class_crops, sampling_matrix
from training.groupdnet.networks.decoder import CGNorm
from training.groupdnet.networks.discriminator import MultiscaleDiscriminator
from training.groupdnet.networks.groupdnet import GroupDNet
from training.networks.one_hot import one_hot


def test_nearest_crops_are_those_of_the_published_code() -> None:
    image = torch.rand(1, 3, 20, 24) + 0.1  # nothing black: the published code finds boxes by colour
    ids = torch.zeros(1, 20, 24, dtype=torch.long)
    ids[0, 3:11, 5:18] = 1
    ids[0, 4:7, 6:9] = 2
    crops = class_crops(image, one_hot(ids, 4), 16, smooth=False).view(4, 4, 16, 16)
    for label in range(3):
        masked = image * (ids == label)
        _, rows, columns = masked[0].sum(0, keepdim=True).nonzero(as_tuple=True)
        box = masked[:, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        torch.testing.assert_close(crops[label, :3], F.interpolate(box, (16, 16))[0])
    assert not crops[3].any()  # absent


def test_smooth_sampling_keeps_within_the_occupied_stretch() -> None:
    occupied = torch.zeros(1, 2, 12)
    occupied[0, 0, 3:8] = 1
    matrix = sampling_matrix(occupied, 10)
    torch.testing.assert_close(matrix[0, 0].sum(1), torch.ones(10))
    assert not matrix[0, 0, :, :3].any()
    assert not matrix[0, 0, :, 8:].any()
    assert not matrix[0, 1].any()


@pytest.mark.parametrize(
    ("name", "decoder", "encoder"),
    [("deepfashion", 96.32, 12.84), ("cityscapes", 76.50, 5.77), ("ade20k", 66.46, 4.41)],
)
def test_published_sizes(name: str, decoder: float, encoder: float) -> None:
    """Millions of parameters as the paper's code has them; ADE20K without its `up_4`, which never runs."""
    with torch.device("meta"):
        network = GroupDNet(NetworkSection.model_validate({"preset": name, "spectral": False}))
    for part, millions in ((network.decoder, decoder), (network.encoder, encoder)):
        assert round(sum(p.numel() for p in part.parameters()) / 1e6, 2) == pytest.approx(millions)


@pytest.mark.parametrize("changes", [{}, {"code_side": 4, "fold": 1, "map_resize": "nearest"}])
def test_shapes(changes: dict[str, Any]) -> None:
    config = tiny(**changes)
    network = GroupDNet(config).eval()
    side = config.image_side
    mean, log_variance = network.encode(torch.rand(2, 3, side, side), quarters(2, side))
    assert mean.shape == log_variance.shape
    assert mean[0].numel() == config.code_numbers
    images = network(mean, quarters(2, side))
    assert images.shape == (2, 3, side, side)
    assert images.abs().max() <= 1


@torch.no_grad()
def test_a_code_knows_nothing_of_other_styles_pixels() -> None:
    network = GroupDNet(tiny()).eval()
    images, maps = torch.rand(1, 3, 32, 32), quarters(1)
    before, _ = network.encode(images, maps)
    inside = network.style_maps(maps)[:, 2:3]
    after, _ = network.encode(images * (1 - inside), maps)
    torch.testing.assert_close(after[:, :2], before[:, :2], rtol=0, atol=0)
    assert (after[:, 2] - before[:, 2]).abs().max() > 1e-4


@torch.no_grad()
def test_with_a_group_a_class_a_code_changes_its_own_channels_only() -> None:
    blocks = tuple(BlockSection(width=16, groups=4, hidden=8) for _ in range(3))
    config = tiny(blocks=blocks, style_classes=(0, 1, 2, 3))
    decoder = GroupDNet(config).eval().decoder
    seen: list[torch.Tensor] = []
    decoder.blocks[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    codes = torch.randn(1, 4, 3)
    changed = codes.clone()
    changed[:, 1] += 1
    for some in (codes, changed):
        decoder(some, quarters(1))
    apart = (seen[0] - seen[1]).abs().view(4, 4, -1).amax((1, 2))
    own = config.class_order.index(1)
    assert apart[own] > 1e-4
    assert not apart[torch.arange(4) != own].any()


@torch.no_grad()
def test_classes_that_share_a_style_take_the_same_code() -> None:
    network = GroupDNet(tiny()).eval()
    maps = quarters(1)
    torch.testing.assert_close(network.style_maps(maps)[:, 1], maps[:, 1] + maps[:, 3])
    assert network.decoder.get_buffer("styles").tolist() == [2, 0, 1, 1]  # by class_order


@torch.no_grad()
def test_cg_norm_is_batch_norm_scaled_and_shifted_by_the_map() -> None:
    norm = CGNorm(8, 4, (8, 4, 4))
    features, maps = torch.randn(6, 8, 5, 5) * 3 + 1, torch.rand(6, 4, 5, 5)
    result = norm(features, maps)
    centred = features - features.mean((0, 2, 3), keepdim=True)
    plain = centred / (features.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    hidden = F.relu(norm.shared(maps))
    torch.testing.assert_close(result, plain * (1 + norm.scale(hidden)) + norm.shift(hidden))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_order": (0, 1, 2, 2)}, "class_order: must have each of the 4 classes once"),
        ({"style_classes": (0, 1, 2)}, "style_classes: must name a style for each of the 4 classes"),
        ({"style_classes": (0, 1, 3, 1)}, "styles must count up from 0"),
        ({"start": 18}, "start: 18 channels do not divide into 4 classes"),
        ({"blocks": ({"width": 18, "groups": 4, "hidden": 8},)}, "blocks.0: 18 channels do not divide"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny(**changes)


def test_shipped_configuration_names_its_styles() -> None:
    config = load_styles_config("faces64_styles")
    assert config.style_names == ("background", "hair", "skin+nose", "brows", "eyes", "mouth", "neck")
    assert config.network.image_side == 64


def test_a_pack_of_another_method_is_refused() -> None:
    with pytest.raises(ValueError, match="pack 'faces64' is of the method 'sis-ug'"):
        load_styles_config("faces64")


@torch.no_grad()
def test_discriminator_judges_patches_at_two_scales() -> None:
    layers = MultiscaleDiscriminator(4, 8, 3)(torch.rand(2, 3, 32, 32), quarters(2))
    assert [len(scale) for scale in layers] == [4, 4]
    assert [scale[-1].shape[1] for scale in layers] == [1, 1]
    assert layers[0][-1].shape[2] > layers[1][-1].shape[2]


def test_losses_are_zero_where_nothing_is_wrong() -> None:
    image = torch.rand(2, 3, 16, 16)
    sure, lost = [[image, torch.full((2, 1, 3, 3), 2.0)]], [[image, torch.full((2, 1, 3, 3), -2.0)]]
    assert hinge_discriminator(sure, lost) == 0
    assert hinge_discriminator(lost, sure) == 6
    assert hinge_generator(sure) == -2
    assert feature_matching(sure, lost) == 0
    assert pixel_loss(image, image) == 0
    assert kl_divergence(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)) == 0


def test_leak_counts_where_codes_are_kept_only() -> None:
    before, after = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    after[..., :2] = 1
    kept = torch.ones(1, 1, 4, 4)
    assert leak_loss(before, after, kept) == 0.5
    kept[..., :2] = 0
    assert leak_loss(before, after, kept) == 0


def test_kl_divergence_is_torchs_summed_over_a_samples_numbers() -> None:
    mean, log_variance = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    found = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(found, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected.sum((1, 2)).mean())
