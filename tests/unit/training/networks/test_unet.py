"""The backbone of segmenters, and its copies for inference."""

import pytest
import torch

from training.networks.unet import UNet, frozen


@pytest.mark.parametrize(("fold", "side"), [(2, 32), (4, 64), (16, 256)])
def test_unet_folds_larger_images_further(fold: int, side: int) -> None:
    images = torch.randn(1, 3, side, side)
    assert UNet(3, 5, (8, 12, 16), fold=fold)(images).shape == (1, 5, 16, 16)
    assert UNet(3, 5, (8, 12, 16), fold=fold, unfold=True)(images).shape == (1, 5, side, side)


@pytest.mark.parametrize(("unfold", "side"), [(False, 16), (True, 32)])
def test_unet_gives_logits_at_half_or_full_resolution(unfold: bool, side: int) -> None:
    network = UNet(3, 5, (8, 12, 16), unfold=unfold)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 5, side, side)


def test_frozen_copy_computes_the_same_and_leaves_the_original_alone() -> None:
    network = UNet(3, 5, (8, 12, 16))
    images = torch.randn(8, 3, 32, 32)
    network.train()
    network(images)  # moves the batch norms' statistics off their start
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fast = frozen(network)
    network.eval()
    torch.testing.assert_close(fast(images), network(images), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
