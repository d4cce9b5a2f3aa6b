"""Every stage trains, on the real generator with everything else made small."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.tiny_pack import checkpoint_step
from training.config.weights import load_weights
from training.data.splits import write_split
from training.runs.options import RunOptions
from training.runs.updates import Shard, Step
from training.sis_ug import stages
from training.sis_ug.config import PackConfig, inversion_section, judge_section, reader_section
from training.sis_ug.networks.build import pretrained_generator, rearranger
from training.sis_ug.pipeline import load_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


FEW = {"steps": 4}
MAPPER_RUNS = ("label_segmenter", "supervised", "cycle")


def hasty(config: PackConfig) -> PackConfig:
    """With a few steps of what reads conditions, where it matters what is trained and not how well."""
    values = config.model_dump()
    for section in (values["sketch"], values["scribble"], *(values["mapper"][run] for run in MAPPER_RUNS)):
        section.update(FEW)
    return PackConfig.model_validate(values)


def metrics(trained: Path, run: str) -> list[dict[str, float]]:
    lines = (trained / "runs" / run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("run", "loss"),
    [
        ("proxy_segmenter", "loss"),
        ("rearranger", "total"),
        ("rearranger", "image"),
        ("rearranger", "discriminator"),
        ("label_segmenter", "loss"),
        ("mapper", "loss"),
        ("cycle", "total"),
        ("sketch_reader", "loss"),
        ("scribble_completer", "loss"),
        ("inverter", "total"),
        ("inverter", "image"),
        ("judge", "loss"),
    ],
)
def test_losses_fall(trained: Path, run: str, loss: str) -> None:
    values = [line[loss] for line in metrics(trained, run)]
    third = len(values) // 3  # single lines are means of a few small batches: too noisy to compare
    assert sum(values[-third:]) < 0.99 * sum(values[:third])


@pytest.mark.parametrize(
    "run",
    [
        "proxy_segmenter",
        "rearranger",
        "label_segmenter",
        "mapper",
        "cycle",
        "sketch_reader",
        "scribble_completer",
        "inverter",
        "judge",
    ],
)
def test_every_run_leaves_its_last_sheet_and_checkpoint(trained: Path, config: PackConfig, run: str) -> None:
    steps = {
        "proxy_segmenter": config.proxies.segmenter.steps,
        "rearranger": config.rearranger.steps,
        "label_segmenter": config.mapper.label_segmenter.steps,
        "mapper": config.mapper.supervised.steps,
        "cycle": config.mapper.cycle.steps,
        "sketch_reader": reader_section(config, "sketch").steps,
        "scribble_completer": reader_section(config, "scribble").steps,
        "inverter": inversion_section(config).steps,
        "judge": judge_section(config).steps,
    }[run]
    assert checkpoint_step(trained / "runs", run) == steps
    assert metrics(trained, run)[-1]["step"] == steps
    with Image.open(trained / "runs" / run / f"sheet-{steps:06d}.png") as sheet:
        assert sheet.width > sheet.height


def test_pack_holds_every_network_that_serves(trained: Path, config: PackConfig) -> None:
    pipeline = load_pipeline(config, trained / "pack")
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    images = pipeline(labels, torch.randn(2, 100), torch.full((2, 1), 0.5))
    assert images.shape == (2, 3, 64, 64)
    assert images.abs().max() <= 1


def test_pack_without_readers_of_drawings_says_so(
    trained: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    without = config.model_copy(update={"sketch": None, "scribble": None})
    options = RunOptions(trained / "runs", show_progress=False)
    for stage in ("sketch", "scribble"):
        with pytest.raises(ValueError, match=rf"pack 'faces64': .* has no section \[{stage}\]"):
            stages.STAGES[stage](without, trained / "pack", options)


@pytest.mark.parametrize(
    ("cycle", "keep", "runs"),
    [
        ("none", False, {"mapper"}),
        ("proxies", False, {"mapper", "proxy_cycle_of_the_mapper"}),
        ("labels", True, {"mapper", "label_segmenter", "cycle_of_the_mapper"}),
    ],
)
def test_mapper_alone_is_trained_for_another_kind_of_condition(
    trained: Path,
    config: PackConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cycle: stages.Cycle,
    keep: bool,
    runs: set[str],
) -> None:
    """One rearranger serves many mappers: its files stay as they were, and the pipeline runs on it."""
    monkeypatch.chdir(trained)
    pack = tmp_path / "pack"
    shutil.copytree(trained / "pack", pack)
    names = ("rearranger", "rearranger_tuned", *(() if cycle == "labels" else ("label_segmenter",)))
    before = {name: (pack / f"{name}.safetensors").read_bytes() for name in names}
    mapper = (pack / "mapper_label_map.safetensors").read_bytes()
    options = RunOptions(tmp_path, show_progress=False)
    stages.train_mapper(hasty(config), pack, options, cycle, keep_rearranger=keep)
    assert {path.name for path in tmp_path.iterdir()} == {"pack", *runs}
    assert {name: (pack / f"{name}.safetensors").read_bytes() for name in names} == before
    assert (pack / "mapper_label_map.safetensors").read_bytes() != mapper
    if cycle == "proxies":
        (line,) = (tmp_path / "proxy_cycle_of_the_mapper" / "metrics.jsonl").read_text().splitlines()
        assert "agreement" in json.loads(line)
        assert "label" not in json.loads(line)  # no label map is a judge


def test_pack_without_a_cycle_serves_the_rearranger_that_saw_no_label(
    trained: Path, config: PackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    shutil.copytree(trained / "pack", tmp_path / "pack")
    (tmp_path / "pack" / "rearranger_tuned.safetensors").unlink()
    pipeline = load_pipeline(config, tmp_path / "pack", students=False)
    untuned = load_weights(rearranger(config, pipeline.generator), trained / "pack", "rearranger")
    served = pipeline.rearranger.state_dict()
    for name, tensor in untuned.state_dict().items():
        assert torch.equal(served[name], tensor), name


def test_a_handful_of_labelled_samples_is_enough_to_train(
    trained: Path, config: PackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sheets show sixteen samples, where there are as many; one class may be nowhere, some pixels of none."""
    few = hasty(config)
    few = few.model_copy(update={"data": few.data.model_copy(update={"train_samples": 3})})
    monkeypatch.chdir(tmp_path)
    labels = np.full((3, 64, 64), 1, np.uint8)
    labels[:, :32] = 255
    write_split(few, "train", 64, "test", lambda seeds: (labels[: len(seeds)], np.ones(len(seeds), bool)))
    shutil.copytree(trained / "pack", tmp_path / "pack")
    options = RunOptions(tmp_path / "runs", sheet_every=2, log_every=2, show_progress=False)
    for stage in ("mapper", "sketch", "scribble"):
        stages.STAGES[stage](few, tmp_path / "pack", options)
    for run in ("label_segmenter", "mapper", "cycle", "sketch_reader", "scribble_completer"):
        lines = (tmp_path / "runs" / run / "metrics.jsonl").read_text().splitlines()
        assert all(math.isfinite(value) for line in lines for value in json.loads(line).values())


def test_missing_weights_name_the_file(config: PackConfig, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mapper_label_map\.safetensors is missing: train it"):
        load_pipeline(config, tmp_path)


def test_weights_of_another_shape_are_refused(trained: Path, config: PackConfig) -> None:
    wider = config.model_copy(update={"rearranger": config.rearranger.model_copy(update={"width": 24})})
    generator = pretrained_generator(wider)
    with pytest.raises(ValueError, match="does not fit the pack's configuration"):
        load_weights(rearranger(wider, generator), trained / "pack", "rearranger")


def test_stopped_run_goes_on_as_if_never_stopped(trained: Path, config: PackConfig, tmp_path: Path) -> None:
    """Same seed, same steps: 8 steps at once and 4 + 4 after a stop leave the same weights."""
    section = config.rearranger
    short = config.model_copy(update={"rearranger": section.model_copy(update={"steps": 8})})
    options = RunOptions(tmp_path, checkpoint_every=4, log_every=4, sheet_every=100, show_progress=False)
    pack = tmp_path / "pack"  # the weights of so few steps are nobody else's
    shutil.copytree(trained / "pack", pack)

    whole = replace(options, folder=tmp_path / "whole")
    stages.train_rearranger(short, pack, whole)

    stopped = replace(options, folder=tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as patch:
        from training.sis_ug.loops.rearranger import RearrangerTrainer  # noqa: PLC0415

        original = RearrangerTrainer.step

        def interrupted(self: RearrangerTrainer, step: int, shard: Shard) -> Step:
            if step == 6:
                raise KeyboardInterrupt
            return original(self, step, shard)

        patch.setattr(RearrangerTrainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stages.train_rearranger(short, pack, stopped)
    assert checkpoint_step(stopped.folder, "rearranger") == 4
    stages.train_rearranger(short, pack, stopped)

    def average(folder: Path) -> dict[str, torch.Tensor]:
        checkpoint = torch.load(folder / "rearranger" / "checkpoint.pt", weights_only=True)
        averaged: dict[str, torch.Tensor] = checkpoint["state"]["average"]
        return averaged

    first, second = average(whole.folder), average(stopped.folder)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(second[name], tensor), name


def test_the_inverter_gives_back_more_of_an_image_than_its_mean(trained: Path, config: PackConfig) -> None:
    pipeline = load_pipeline(config, trained / "pack", students=False)
    with torch.inference_mode():
        source = pipeline.head(torch.randn(16, 100, generator=torch.Generator().manual_seed(3)) * 0.9)
        found = pipeline.source_of(source.images)
        again = pipeline.generator.tail(found.pyramid[16], 16)
    assert {r: f.shape for r, f in found.pyramid.items()} == {r: f.shape for r, f in source.pyramid.items()}
    assert torch.equal(found.mask, source.mask)
    assert torch.equal(found.histogram, source.histogram)
    error = (again - source.images).square().mean()
    assert error < (source.images - source.images.mean((2, 3), keepdim=True)).square().mean()
