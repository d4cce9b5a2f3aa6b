"""The stage `styles`: trains GroupDNet, fits what maps lead to expect of its codes, and the codes' prior."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from training.config import shared_out
from training.groupdnet.expectation import CodeExpectation, RelativeGroupDNet, fit_expectation
from training.groupdnet.network import GroupDNet
from training.groupdnet.pack_config import StylesConfig
from training.groupdnet.prior import fit_prior
from training.groupdnet.samples import PicturePairs
from training.groupdnet.sources import JUDGE, Folders, source_of
from training.loops.pair_segmenter import PairSegmenterTrainer
from training.loops.styles import StylesTrainer
from training.pack import averaged_weights, load_weights, save_weights
from training.runs import RunOptions, place, train
from training.unet import UNet, frozen

SETTLING_BATCHES = 60
SETTLING_BATCH = 64
MIN_PAIRS = 2
NETWORK, EXPECTATION, PRIOR = "groupdnet", "expectation", "prior"
"""Names of the pack's files."""


def train_styles(config: StylesConfig, folder: Path, options: RunOptions) -> None:
    """Train GroupDNet, then fit what maps lead to expect of its codes, and the codes' prior.

    Writes `groupdnet`, `expectation` and `prior`; for folders `label_segmenter` before.

    Raises:
        FileNotFoundError: if pictures, or the label segmenter of the pack they come from, are missing.
        ValueError: if that pack's palette is another, or a file in a folder is not what is allowed.
    """
    config = shared_out(config, "training", options.shards)
    device = torch.device(options.device)
    source = source_of(config, folder)
    pairs = source.pairs("train", device=options.device)
    if len(pairs) < MIN_PAIRS:
        raise ValueError(f"{len(pairs)} pictures to train on; at least {MIN_PAIRS} are needed, for the prior")
    torch.manual_seed(options.seed)
    if isinstance(source, Folders):
        train_judge(config, source.new_judge(), pairs, folder, options)
    judge = source.judge()
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True  # batches are all of one shape
    trainer = StylesTrainer(config, place(frozen(judge), device), pairs, device)
    train(trainer, dataclasses.replace(options, folder=options.folder / trainer.name))
    if not options.team.leads:
        return  # what follows is no work for many
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


def train_judge(
    config: StylesConfig, network: UNet, pairs: PicturePairs, folder: Path, options: RunOptions
) -> None:
    """Train the label segmenter of a pack with folders; writes `label_segmenter`."""
    section = config.training.judge
    assert section is not None  # as the configuration has checked
    trainer = PairSegmenterTrainer(network, section, pairs, config.palette, torch.device(options.device))
    run = options.folder / trainer.name
    train(trainer, dataclasses.replace(options, folder=run))
    if options.team.leads:
        save_weights(averaged_weights(network, run / "checkpoint.pt"), folder, JUDGE)
    options.team.wait()


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
