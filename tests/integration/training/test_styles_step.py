"""What one step of GroupDNet's training compares."""

import pytest
import torch

from tests.support.tiny_groupdnet import quarters, tiny
from tests.support.tiny_pack import tiny_styles_config
from training.groupdnet.loops import styles
from training.groupdnet.loops.styles import StylesTrainer
from training.groupdnet.losses import Layers
from training.groupdnet.samples import ImagePairs
from training.networks.unet import UNet, frozen
from training.runs.distributed import single_process
from training.runs.updates import Shard

CPU = torch.device("cpu")


def test_features_that_are_matched_are_of_one_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real and made ones, of the discriminator after its update, whose spectral norms stand still."""
    torch.manual_seed(0)
    config = tiny_styles_config()
    palette = config.palette.model_copy(update={"classes": config.palette.classes[:4]})
    config = config.model_copy(update={"network": tiny(), "palette": palette})
    image = torch.randint(0, 256, (1, 3, 32, 32)).byte()
    labels = quarters(1).argmax(1).byte()
    pairs = ImagePairs(image.expand(4, -1, -1, -1), labels.expand(4, -1, -1), 4, mirror=False)
    trainer = StylesTrainer(config, frozen(UNet(3, 4, (8, 12), unfold=True)), pairs, CPU)
    seen: list[Layers] = []

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
