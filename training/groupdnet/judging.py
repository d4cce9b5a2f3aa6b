"""The judge of a pack of GroupDNet: what its evaluation reads label maps with, and no loss asks.

Packs on the samples of another have that one's judge. Packs with folders train one on images of their own,
the split "judge", which nothing else uses.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from training.config.batches import split_batches
from training.config.packs import pack_folder
from training.config.weights import averaged_weights, load_weights, save_weights, weights_path
from training.data.folders import JUDGE as SPLIT
from training.groupdnet.config import SamplesSection, StylesConfig
from training.groupdnet.loops.judge import PairJudgeTrainer
from training.groupdnet.sources import source_of
from training.groupdnet.stage import held_out
from training.networks.judge import Judge
from training.runs.loop import train
from training.runs.options import RunOptions
from training.sis_ug import pipeline
from training.sis_ug.config import load_config
from training.sis_ug.pipeline import JUDGE
from training.sis_ug.sections import JudgeSection


def load_judge(config: StylesConfig, folder: Path) -> Judge | None:
    """What a pack's evaluation reads label maps with; None while it is not trained."""
    if isinstance(config.data, SamplesSection):
        return pipeline.load_judge(load_config(config.data.pack), pack_folder(config.data.pack))
    if config.judge is None or not weights_path(folder, JUDGE).exists():
        return None
    return load_weights(Judge(len(config.palette), config.judge.width), folder, JUDGE)


def train_judge(config: StylesConfig, folder: Path, options: RunOptions) -> None:
    """Train the judge of a pack with folders; writes `judge`.

    Raises:
        FileNotFoundError: if there are no images for it.
        ValueError: if the pack has none, or another pack's, or a file in a folder is not what is allowed.
    """
    judge_section(config)
    config = split_batches(config, JUDGE, options.shards)
    section, device = judge_section(config), torch.device(options.device)
    source = source_of(config, folder)
    pairs, shown = source.pairs(SPLIT, device=options.device), held_out(source, options.device)
    torch.manual_seed(options.seed)
    network = Judge(len(config.palette), section.width)
    run = options.folder / PairJudgeTrainer.name
    trainer = PairJudgeTrainer(network, section, pairs, config.palette, device, shown)
    train(trainer, dataclasses.replace(options, folder=run))
    if options.distributed.is_main:
        save_weights(averaged_weights(network, run / "checkpoint.pt"), folder, JUDGE)
    options.distributed.barrier()


def judge_section(config: StylesConfig) -> JudgeSection:
    """The section [judge].

    Raises:
        ValueError: if the pack has none, or another pack's.
    """
    if isinstance(config.data, SamplesSection):
        raise ValueError(
            f"pack {config.pack.name!r} has the judge of {config.data.pack!r}: `maskweave train judge --pack "
            f"{config.data.pack}` trains it"
        )
    if config.judge is None:
        raise ValueError(f"pack {config.pack.name!r}: its configuration has no section [judge]")
    return config.judge
