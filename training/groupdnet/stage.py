"""The stage `styles`: trains GroupDNet, fits what maps lead to expect of its codes, and the codes' prior."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from training.config import load_config, pack_folder
from training.groupdnet.expectation import CodeExpectation, RelativeGroupDNet, fit_expectation
from training.groupdnet.network import GroupDNet
from training.groupdnet.pack_config import StylesConfig
from training.groupdnet.prior import fit_prior
from training.groupdnet.samples import PicturePairs, load_pairs
from training.loops.styles import StylesTrainer
from training.networks import label_segmenter, pretrained_generator
from training.pack import averaged_weights, load_weights, save_weights
from training.runs import RunOptions, place, train
from training.unet import frozen

SETTLING_BATCHES = 60
SETTLING_BATCH = 64
NETWORK, EXPECTATION, PRIOR = "groupdnet", "expectation", "prior"
"""Names of the pack's files."""


def train_styles(config: StylesConfig, folder: Path, options: RunOptions) -> None:
    """Train GroupDNet, fit expectation and prior; writes `groupdnet`, `expectation` and `prior`.

    Raises:
        FileNotFoundError: if the samples or the label segmenter of the pack they come from are missing.
        ValueError: if that pack's palette is another.
    """
    device = torch.device(options.device)
    source = load_config(config.data.pack)
    if source.palette != config.palette:
        raise ValueError(
            f"palette: must be that of pack {source.pack.name!r}, whose label maps are trained on"
        )
    judge = load_weights(label_segmenter(source), pack_folder(source.pack.name), "label_segmenter")
    pairs = load_pairs(source, pretrained_generator(source).to(device), "train")
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True  # batches are all of one shape
    trainer = StylesTrainer(config, place(frozen(judge), device), pairs, device)
    train(trainer, dataclasses.replace(options, folder=options.folder / trainer.name))
    checkpoint = options.folder / trainer.name / "checkpoint.pt"
    network = place(averaged_weights(GroupDNet(config.network), checkpoint), device)
    section, spreads = config.network, config.training
    settle(network, pairs)
    save_weights(network, folder, NETWORK)
    network = place(load_weights(GroupDNet(section), folder, NETWORK), device)
    save_weights(fit_expectation(network, pairs, section), folder, EXPECTATION)
    expectation = load_weights(CodeExpectation(section), folder, EXPECTATION).to(device)
    relative = RelativeGroupDNet(network, expectation, section)
    prior = fit_prior(relative, pairs, joint_spread=spreads.joint_spread, single_spread=spreads.single_spread)
    save_weights(prior, folder, PRIOR)


@torch.no_grad()
def settle(network: GroupDNet, pairs: PicturePairs) -> None:
    """Measure the batch norms' statistics anew, over many large batches.

    Those gathered in training are of other weights than the averaged ones. What is served are above all codes
    on maps they do not come from, so a third of each batch are a neighbour's codes and a third mixtures: with
    statistics of reconstructions alone, codes that suit the map badly gave glaring blotches. These codes are
    taken as they are: with departures from the expectation in their place everything was read back worse.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    for _ in range(SETTLING_BATCHES):
        chosen = torch.randint(len(pairs), (SETTLING_BATCH,), generator=generator)
        pictures, maps = pairs.batch(chosen, device)
        own = network.encode(pictures, maps)[0]
        other = own.roll(1, 0)
        kept = torch.rand(own.shape[:2], generator=generator).to(device) < 0.5
        mixed = torch.where(kept.view(*kept.shape, *[1] * (own.dim() - 2)), own, other)
        network(torch.cat([own, other, mixed]), torch.cat([maps] * 3))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
