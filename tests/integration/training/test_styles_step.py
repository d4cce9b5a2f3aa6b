"""What one step of GroupDNet's training compares."""

import pytest
import torch

from tests.support.tiny_groupdnet import quarters, tiny
from tests.support.tiny_pack import tiny_styles_config
from training.groupdnet.loops import styles
from training.groupdnet.loops.styles import Batch, StylesTrainer, chosen_precision
from training.groupdnet.losses import Layers
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.samples import ImagePairs
from training.networks.unet import UNet, frozen
from training.runs.distributed import single_process
from training.runs.optimization import mixed_precision
from training.runs.updates import Precision, Shard

CPU = torch.device("cpu")


def tiny_trainer(network: NetworkSection) -> StylesTrainer:
    """Four classes, four samples alike."""
    torch.manual_seed(0)
    config = tiny_styles_config()
    palette = config.palette.model_copy(update={"classes": config.palette.classes[:4]})
    config = config.model_copy(update={"network": network, "palette": palette})
    side = network.image_side
    image = torch.randint(0, 256, (1, 3, side, side)).byte()
    labels = quarters(1, side).argmax(1).byte()
    pairs = ImagePairs(image.expand(4, -1, -1, -1), labels.expand(4, -1, -1), 4, mirror=False)
    return StylesTrainer(config, frozen(UNet(3, 4, (8, 12), unfold=True)), pairs, CPU)


def test_features_that_are_matched_are_of_one_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real and made ones, of the discriminator after its update, whose spectral norms stand still."""
    trainer = tiny_trainer(tiny())
    pairs, seen = trainer.samples, list[Layers]()

    def matching(real: Layers, fake: Layers) -> torch.Tensor:
        seen.append(real)
        return torch.zeros((), requires_grad=True)

    monkeypatch.setattr(styles, "feature_matching", matching)
    step = trainer.step(0, Shard(torch.Generator().manual_seed(0), "32"))
    update = next(step)
    for learner in update.learners:
        learner.zero_grad()
    update.loss.backward()
    for learner in update.learners:
        learner.step(single_process())
    next(step)
    assert trainer.discriminator.training
    with torch.no_grad():
        wanted = trainer.discriminator.eval()(*pairs.batch(torch.arange(4), CPU))
    for found_scale, scale in zip(seen[0], wanted, strict=True):
        for found, layer in zip(found_scale, scale, strict=True):
            torch.testing.assert_close(found, layer, rtol=1e-5, atol=1e-6)


FOUR_STYLES = (0, 1, 2, 3)
CELLS = {"style_classes": FOUR_STYLES, "code_side": 4, "fold": 1, "map_resize": "nearest"}


@pytest.mark.parametrize("changes", [{"style_classes": FOUR_STYLES}, CELLS], ids=["vectors", "cells"])
def test_mixtures_keep_whole_codes_of_the_styles_that_they_keep(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many styles as mixtures and as rows of cells, a wrong axis would not show in any shape."""
    trainer = tiny_trainer(tiny(**changes))
    maps = quarters(8, trainer.config.network.image_side)
    images = torch.rand(8, 3, *maps.shape[2:]) * 2 - 1
    kept = torch.rand(4, 4) < 0.5
    assert 0 < kept.sum() < kept.numel()
    batch = Batch(images, maps, trainer.network.style_maps(maps), kept)
    monkeypatch.setattr(trainer, "_draw", lambda generator: batch)
    given: list[torch.Tensor] = []
    trainer.network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    next(trainer.step(0, Shard(torch.Generator().manual_seed(0), "32")))
    (codes,) = given
    own, mixed = codes[:8], codes[8:]
    for i in range(4):
        for style in range(4):
            giver = i if kept[i, style] else (i - 1) % 8
            assert torch.equal(mixed[i, style], own[giver, style])


@pytest.mark.parametrize("capable", [True, False])
def test_automatic_precision_is_the_faster_one(capable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CPUs bfloat16 where there are instructions for it; on GPUs single precision, as was measured."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": capable})
    assert chosen_precision("auto", torch.device("cuda")) == "32"
    assert chosen_precision("bf16", torch.device("cuda")) == "bf16"
    with mixed_precision(CPU, chosen_precision("auto", CPU)):
        assert torch.is_autocast_enabled("cpu") == capable
    wanted: dict[Precision, bool] = {"bf16": True, "32": False}
    for asked, enabled in wanted.items():
        with mixed_precision(CPU, chosen_precision(asked, CPU)):
            assert torch.is_autocast_enabled("cpu") == enabled
