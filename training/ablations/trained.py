"""Stages that several variants share are trained once.

What a stage leaves depends on its sections of the configuration, the seed, and the weights that it starts
from. Each such combination has a folder of its own: `pack/` with the weights, `runs/` with the run, from
whose checkpoint it goes on, and `done.json` once it is finished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.config.weights import weights_path
from training.groupdnet import stage as groupdnet
from training.groupdnet.config import StylesConfig
from training.runs.options import RunOptions
from training.sis_ug import stages
from training.sis_ug.config import PackConfig
from training.sis_ug.plan import plan_of, sections_of

DONE = "done.json"
AnyConfig = PackConfig | StylesConfig


@dataclass(frozen=True, slots=True)
class Call:
    """A stage as a variant calls it.

    Attributes:
        stage: its name.
        given: further arguments, such as the mapper's cycle.
        needs: names of weights that it starts from.
        run: trains, in a pack's folder.
        depends_on: what of the configuration its result depends on.
        is_seeded: whether its result depends on the seed.
    """

    stage: str
    given: Mapping[str, Any]
    needs: tuple[str, ...]
    run: Callable[[Path, RunOptions], None]
    depends_on: Mapping[str, Any]
    is_seeded: bool = True


def call_of(config: AnyConfig, stage: str, given: Mapping[str, Any]) -> Call:
    """A stage of a pack, to be called.

    Args:
        config: the variant's.
        stage: of `sis_ug.stages.STAGES`, or of GroupDNet "styles", or "fit", its expectation and prior.
        given: further arguments.
    """
    if isinstance(config, StylesConfig):
        train = groupdnet.fit_anew if stage == "fit" else groupdnet.train_styles
        needs = (groupdnet.NETWORK,) if stage == "fit" else ()
        values = config.model_dump(mode="json")
        return Call(stage, given, needs, partial(train, config), values, is_seeded=stage != "fit")
    return Call(
        stage,
        given,
        plan_of(config, stage, **given).weights,
        lambda folder, options: stages.STAGES[stage](config, folder, options, **given),
        sections_of(config, stage, **given),
    )


def train_once(call: Call, available: Mapping[str, Path], place: Path, options: RunOptions) -> Path:
    """Train a stage, or go on with it, unless it is done.

    Args:
        call: the stage.
        available: files of weights by name; those that it needs are linked into its folder.
        place: where the folders of all of them are.
        options: of the run; `folder` is not looked at.

    Returns:
        The folder with the weights that it has left.

    Raises:
        FileNotFoundError: if weights that it starts from are missing.
    """
    for name in call.needs:
        if name not in available:
            raise FileNotFoundError(
                f"{name}.safetensors is missing: `maskweave train all` makes a pack's weights"
            )
    inputs = {name: _sha256(available[name]) for name in call.needs}
    made_of = {
        "stage": call.stage,
        "given": dict(call.given),
        "seed": options.seed if call.is_seeded else None,
        "configuration": call.depends_on,
        "starts from": inputs,
    }
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    folder = place / f"{call.stage}-{digest[:12]}"
    pack, done = folder / "pack", folder / DONE
    if done.exists():
        return pack
    pack.mkdir(parents=True, exist_ok=True)
    for name in call.needs:
        link = weights_path(pack, name)
        link.unlink(missing_ok=True)
        link.symlink_to(available[name].absolute())
    started = time.monotonic()
    call.run(pack, dataclasses.replace(options, folder=folder / "runs"))
    made_of["seconds of the last start"] = round(time.monotonic() - started)
    done.write_text(json.dumps(made_of, indent=2) + "\n")
    return pack


def weights_in(pack: Path) -> dict[str, Path]:
    """Files of weights in a pack's folder by name."""
    return {path.stem: path for path in sorted(pack.glob("*.safetensors"))}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
