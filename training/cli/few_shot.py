"""Verb `few-shot` of the command `maskweave`: choose, label, evaluate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.cli.options import EXPECTED, RUNS, chosen_device, device_choice, examples, pack_name
from training.config.packs import pack_folder
from training.config.weights import load_weights
from training.data.image_files import labels_of, open_label_map, refuse
from training.data.labelled import split_path
from training.data.samples import images_of, latents_of
from training.data.splits import write_split
from training.evaluation.few_shot import ALL_LABELS, Experiment
from training.evaluation.few_shot_tables import as_markdown
from training.evaluation.sis_ug import MIN_PAIRS
from training.networks.unet import frozen
from training.runs.options import RunOptions
from training.sis_ug.config import PackConfig, few_shot_section, load_config
from training.sis_ug.few_shot.choice import layouts, medoids
from training.sis_ug.few_shot.labelling import Labelling
from training.sis_ug.few_shot.segmenter import FewShotTrainer
from training.sis_ug.networks.build import pretrained_generator, proxy_segmenter
from training.sis_ug.pipeline import load_pipeline

FOLDER = "few_shot"
TRAIN = "train"

output_folder = click.Path(path_type=Path, file_okay=False)
input_folder = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group("few-shot")
def few_shot() -> None:
    """Learn label maps from a handful of samples labelled by hand."""


@few_shot.command(epilog=examples("few-shot choose mine --count 8 --output to_label"))
@click.argument("pack", type=pack_name)
@click.option("--count", type=click.IntRange(min=1), default=8, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the choice.")
@click.option("--device", type=device_choice, default="auto", show_default=True)
@click.option("--output", type=output_folder, required=True, help="Folder to write <seed>.png into.")
def choose(pack: str, count: int, seed: int, device: str, output: Path) -> None:
    """Choose samples worth labelling: those whose proxy masks stand for the rest.

    Needs `maskweave train proxies` and nothing else. Paint a label map for each, of the same name, in the
    palette's colours or as class ids, into a folder of their own.
    """
    try:
        config = load_config(pack)
        candidates = config.data.seeds(TRAIN)[: few_shot_section(config).candidates]
        generator = pretrained_generator(config).to(chosen_device(device))
        segmenter = frozen(load_weights(proxy_segmenter(config), pack_folder(pack), "proxy_segmenter"))
        latents = latents_of(candidates, generator.latent_dim, config.latent.scale)
        points = layouts(generator, segmenter.to(generator.device), config.proxies.clusters, latents)
        chosen = medoids(points, count, seed)
        images = images_of(generator, latents[chosen])
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    output.mkdir(parents=True, exist_ok=True)
    for index, image in zip(chosen, images, strict=True):
        path = output / f"{candidates[int(index)]}.png"
        Image.fromarray(image).save(path)
        click.echo(path)


@few_shot.command(epilog=examples("few-shot label mine labelled"))
@click.argument("pack", type=pack_name)
@click.argument("folder", type=input_folder)
@click.option("--device", type=device_choice, default="auto", show_default=True)
@click.option("--replace", is_flag=True, help="Replace the labels that there are.")
def label(pack: str, folder: Path, device: str, replace: bool) -> None:
    """Label the samples of PACK, having learnt from the label maps in FOLDER, named <seed>.png.

    Writes data/PACK/train, as `maskweave data` does, and the other splits where the pack has no labeller;
    `maskweave train mapper` goes on from there. A run that was stopped is begun again with --replace.
    """
    try:
        config = load_config(pack)
        splits = config.data.splits if config.data.labeller is None else (TRAIN,)
        for split in splits:
            if (path := split_path(config, split)).exists() and not replace:
                raise click.ClickException(f"{path} is there already; --replace replaces it")
        generator = pretrained_generator(config).to(chosen_device(device))
        labelling = Labelling(config, generator, pack_folder(pack))
        seeds, labels = label_maps(config, folder, generator.image_size)
        options = RunOptions(RUNS / pack / FOLDER, device=str(generator.device), resume=False)

        def latents(of: Sequence[int]) -> torch.Tensor:
            return latents_of(of, generator.latent_dim, config.latent.scale)

        segmenter = labelling.learn(latents(seeds), labels, options)

        def read(some: range) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
            return labelling.label(segmenter, latents(some)), np.ones(len(some), bool)

        made_by = f"few-shot segmenter after {len(seeds)} label maps"
        for split in splits:
            path = write_split(
                config, split, generator.image_size, made_by, read, fresh=True, show_progress=True
            )
            click.echo(f"{path}: {len(config.data.seeds(split))} samples, labelled after {len(seeds)}")
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"look at the last sheet in {options.folder / FewShotTrainer.name} before you go on")


@few_shot.command(epilog=examples("few-shot evaluate faces64 --shots 4 --shots 16 --draws 3"))
@click.argument("pack", type=pack_name)
@click.option("--shots", type=click.IntRange(min=1), multiple=True, default=(1, 4, 8, 16), show_default=True)
@click.option("--draws", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--pairs", type=click.IntRange(min=MIN_PAIRS), default=500, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; PyTorch's own choice by default.")
def evaluate(pack: str, shots: tuple[int, ...], draws: int, pairs: int, threads: int | None) -> None:
    """Measure how well images follow label maps if only so many samples were labelled (--shots).

    Needs `maskweave data PACK`, whose labels play the user's. Every draw leaves a file under
    runs/PACK/few_shot/ and is not run again.
    """
    if threads:
        torch.set_num_threads(threads)
    folder = RUNS / pack / FOLDER / f"{pairs}-pairs"
    try:
        config = load_config(pack)
        pipeline = load_pipeline(config, pack_folder(pack), students=False)
        options = RunOptions(folder, show_progress=False)
        experiment = Experiment(config, pack_folder(pack), pipeline, options, draws, pairs)
        results = []
        for draw in range(draws):
            for count in (*shots, ALL_LABELS):
                results.append(experiment.run(count, draw))
                click.echo(json.dumps(asdict(results[-1])))
        experiment.sheet([*shots, ALL_LABELS]).save(folder / "sheet.png")
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    table = as_markdown(results, pairs)
    (folder / "table.md").write_text(table)
    click.echo(table)


def label_maps(config: PackConfig, folder: Path, side: int) -> tuple[list[int], torch.Tensor]:
    """Seeds and label maps, uint8 `[N, side, side]`, of a folder of files <seed>.png.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a name is no seed, or a file no label map of the pack's size.
    """
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileNotFoundError(
            f"{folder}: no file <seed>.png; `maskweave few-shot choose` makes images to label"
        )
    maps = []
    for file in files:
        if not file.stem.isdecimal() or int(file.stem) >= 2**32:
            refuse(file, f"the name {file.name}", "<seed>.png, with the seed of the image, 0 to 4294967295")
        opened = open_label_map(file)
        if opened.size != (side, side):
            refuse(file, f"{opened.width} x {opened.height} pixels", f"{side} x {side}")
        maps.append(labels_of(opened, config.palette, file))
    return [int(file.stem) for file in files], torch.from_numpy(np.stack(maps))
