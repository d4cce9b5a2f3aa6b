"""The stage `styles`: trains GroupDNet, then fits what follows from its weights.

Batch norms' statistics, what maps lead to expect of codes, and the codes' prior are fitted when the last
step is done. Each is kept with a note of what it was fitted to: a run that was stopped there goes on with
the next one, and one that is finished fits nothing again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from training.config.batches import split_batches
from training.config.weights import averaged_weights, load_weights, save_weights, weights_path
from training.groupdnet.batch_norm_recalibration import IMAGES, recalibrate_batch_norms
from training.groupdnet.codes.encoding import Pass
from training.groupdnet.codes.expectation import CodeExpectation, RelativeGroupDNet, fit_expectation
from training.groupdnet.codes.prior_fit import fit_prior
from training.groupdnet.config import StylesConfig
from training.groupdnet.cost import fitting_chunk, recalibration_chunk
from training.groupdnet.loops.label_segmenter import PairSegmenterTrainer
from training.groupdnet.loops.styles import SHEET_COLUMNS, StylesTrainer
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.groupdnet.sources import Folders, Source, source_of
from training.networks.unet import UNet, frozen
from training.runs.loop import train
from training.runs.optimization import place
from training.runs.options import RunOptions
from training.sis_ug.pipeline import LABEL_SEGMENTER

RECALIBRATION_IMAGES = IMAGES
MIN_PAIRS = 2
NETWORK, EXPECTATION, PRIOR = "groupdnet", "expectation", "prior"
"""Names of the pack's files."""
NOTES = "fitted.json"


def train_styles(config: StylesConfig, folder: Path, options: RunOptions) -> None:
    """Train GroupDNet, then fit what maps lead to expect of its codes, and the codes' prior.

    Writes `groupdnet`, `expectation` (unless the configuration has none) and `prior`; for folders
    `label_segmenter` before.

    Raises:
        FileNotFoundError: if images, or the label segmenter of the pack they come from, are missing.
        ValueError: if the configuration has no training, that pack's palette is another, or a file in a
            folder is not what is allowed.
    """
    config = split_batches(config, "training", options.shards)
    device = torch.device(options.device)
    source = source_of(config, folder)
    pairs = source.pairs("train", device=options.device)
    if len(pairs) < MIN_PAIRS:
        raise ValueError(f"{len(pairs)} images to train on; at least {MIN_PAIRS} are needed, for the prior")
    shown = held_out(source, options.device)
    torch.manual_seed(options.seed)
    if isinstance(source, Folders):
        train_label_segmenter(config, source.new_label_segmenter(), pairs, folder, options, shown)
    segmenter = source.label_segmenter()
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True  # batches are all of one shape
    trainer = StylesTrainer(config, place(frozen(segmenter), device), pairs, device, shown)
    run = options.folder / trainer.name
    train(trainer, dataclasses.replace(options, folder=run))
    if options.distributed.is_main:  # what follows is no work for many
        del trainer  # its optimisers take memory that chunks can have
        fit(config, pairs, folder, run, device, show_progress=options.show_progress)


def held_out(source: Source, device: str) -> ImagePairs | None:
    """A few held-out images for contact sheets; None where there are none."""
    try:
        return source.pairs("heldout", SHEET_COLUMNS, device)
    except FileNotFoundError:
        return None


def train_label_segmenter(
    config: StylesConfig,
    network: UNet,
    pairs: ImagePairs,
    folder: Path,
    options: RunOptions,
    shown: ImagePairs | None = None,
) -> None:
    """Train the label segmenter of a pack with folders; writes `label_segmenter`."""
    section = config.needed_training.judge
    assert section is not None  # as the configuration has checked
    device = torch.device(options.device)
    trainer = PairSegmenterTrainer(network, section, pairs, config.palette, device, shown)
    run = options.folder / trainer.name
    train(trainer, dataclasses.replace(options, folder=run))
    if options.distributed.is_main:
        save_weights(averaged_weights(network, run / "checkpoint.pt"), folder, LABEL_SEGMENTER)
    options.distributed.barrier()


def fit(
    config: StylesConfig,
    pairs: ImagePairs,
    folder: Path,
    run: Path,
    device: torch.device,
    *,
    show_progress: bool = False,
) -> None:
    """Write a pack's weights from a finished run, and what is fitted to them, where that has not been done.

    Args:
        config: the pack's.
        pairs: training images.
        folder: the pack's.
        run: the run's, with its checkpoint; notes of what has been done are kept there, too.
        device: where.
        show_progress: draw progress bars.
    """
    section = config.network
    checkpoint = run / "checkpoint.pt"
    notes = Notes(run / NOTES, folder)
    trained = f"{_sha256(checkpoint)} {_digest(pairs)} {section.model_dump_json()}"

    def make_network() -> nn.Module:
        network = place(averaged_weights(GroupDNet(section), checkpoint), device)
        recalibrate_batch_norms(
            network, pairs, pass_with(recalibration_chunk(section, device)), RECALIBRATION_IMAGES
        )
        return network

    def pass_with(chunk: int) -> Pass:
        return Pass(chunk, device, show_progress=show_progress)

    notes.once(NETWORK, f"{trained} {RECALIBRATION_IMAGES}", make_network)
    network = place(load_weights(GroupDNet(section), folder, NETWORK), device)
    how = pass_with(fitting_chunk(section, device))
    _fit_codes(
        config,
        network,
        pairs,
        folder,
        how,
        lambda name, settings, make: notes.once(name, trained + settings, make),
    )


def fit_anew(config: StylesConfig, folder: Path, options: RunOptions) -> None:
    """Fit expectation and prior to the network that is in the pack's folder; nothing is trained.

    Raises:
        FileNotFoundError: if there is no network, or no images.
    """
    device = torch.device(options.device)
    network = place(load_weights(GroupDNet(config.network), folder, NETWORK), device)
    pairs = source_of(config, folder).pairs("train", device=options.device)
    how = Pass(fitting_chunk(config.network, device), device, show_progress=options.show_progress)
    _fit_codes(config, network, pairs, folder, how, lambda name, _, make: save_weights(make(), folder, name))


def _fit_codes(
    config: StylesConfig,
    network: GroupDNet,
    pairs: ImagePairs,
    folder: Path,
    how: Pass,
    keep: Callable[[str, str, Callable[[], nn.Module]], object],
) -> None:
    """Expectation, if the configuration has one, then the prior.

    `keep` takes a name, what it was made of besides images and network, and what makes it; it leaves the
    weights in the pack's folder.
    """
    section, training = config.network, config.needed_training
    expectation = None
    if section.expectation != "none":
        keep(EXPECTATION, "", lambda: fit_expectation(network, pairs, section, how))
        expectation = load_weights(CodeExpectation(section), folder, EXPECTATION).to(how.device)
    relative = RelativeGroupDNet(network, expectation)
    spreads = {"joint_spread": training.joint_spread, "single_spread": training.single_spread}
    keep(PRIOR, f" {spreads}", lambda: fit_prior(relative, pairs, how=how, **spreads))


class Notes:
    """Remembers what each file of a pack was made of, so that nothing is made again.

    Args:
        file: where notes are kept.
        folder: the pack's.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        self._file, self._folder = file, folder
        self._known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def once(self, name: str, made_of: str, make: Callable[[], nn.Module]) -> None:
        """Make a network and write its weights, unless they are there and were made of the same.

        What is made later is made of it, and is forgotten.
        """
        path = weights_path(self._folder, name)
        wanted = hashlib.sha256(made_of.encode()).hexdigest()
        if path.exists() and self._known.get(name) == f"{wanted} {_sha256(path)}":
            return
        save_weights(make(), self._folder, name)
        order = (NETWORK, EXPECTATION, PRIOR)
        self._known = {each: self._known[each] for each in order[: order.index(name)] if each in self._known}
        self._known[name] = f"{wanted} {_sha256(path)}"
        self._file.write_text(json.dumps(self._known, indent=2) + "\n")


def _digest(pairs: ImagePairs) -> str:
    found = hashlib.sha256()
    for tensor in (pairs.labels, pairs.images):
        found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
