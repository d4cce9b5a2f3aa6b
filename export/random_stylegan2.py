"""Makes a model repository of a StyleGAN2 of the published widths with random weights, to measure it.

Nothing of it is trained, and its images are noise; what is computed is what a trained pack of that size
computes.

    python -m export.random_stylegan2 --resolution 256 --repository build/stylegan2_256
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from export.eight_bits import CALIBRATION_SEEDS, write_int8
from export.exported import ExportedPack
from export.flops import ensemble_flops
from export.images import LABEL_MAPS, load_samples
from export.repository import write_repository
from export.sis_ug import sis_ug_pack
from training.generators.stylegan2.architecture import RESOLUTIONS, Architecture, tensor_shapes
from training.generators.stylegan2.generator import StyleGan2Generator
from training.networks.unet import frozen
from training.sis_ug.networks.build import label_map_mapper, proxy_segmenter, rearranger
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.stylegan2_memory import MASK, published_architecture, published_config

FLOPS_FILE = "flops.json"
"""Operations of an image by ensemble and stage, in the repository's root."""
_SIZES = [str(each) for each in RESOLUTIONS if each >= 2 * MASK]
_SPREAD = 0.05
"""Of what is added to a rearranger: before its training it moves nothing, and parts of it are idle."""


def random_pack(resolution: int, widest: int) -> ExportedPack:
    """A pack with the settings of faces64 on a StyleGAN2 with random weights, always the same.

    Args:
        resolution: Pixels per side of its images.
        widest: Channels at most; 512 is the published network.
    """
    torch.manual_seed(0)
    config, section = published_config(resolution, f"stylegan2_{resolution}")
    architecture = published_architecture(resolution, widest)
    generator = StyleGan2Generator(
        architecture, _random_state(architecture), coarsest=8, finest=MASK, section=section
    )
    arranger = rearranger(config, generator)
    with torch.no_grad():
        for parameter in arranger.parameters():
            parameter.add_(_SPREAD * torch.randn_like(parameter))
    pipeline = SynthesisPipeline(
        config, generator, frozen(proxy_segmenter(config)), arranger, label_map_mapper(config)
    )
    pack = sis_ug_pack(config, pipeline.eval())
    # Other conditions run the same networks.
    return replace(pack, conditions=pack.conditions[:1], aside=())


def _random_state(architecture: Architecture) -> dict[str, Tensor]:
    """As an untrained generator is initialised."""
    state: dict[str, Tensor] = {}
    for name, shape in tensor_shapes(architecture).items():
        if name.endswith("affine.bias"):
            state[name] = torch.ones(shape)
        elif name.startswith("mapping.fc") and name.endswith("weight"):
            state[name] = torch.randn(shape) / architecture.mapping_rate
        elif name.endswith(("bias", "noise_strength", "w_avg")):
            state[name] = torch.zeros(shape)
        else:
            state[name] = torch.randn(shape)
    return state


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--resolution", type=click.Choice(_SIZES), default="256", help="Pixels a side.")
@click.option("--widest", type=click.IntRange(8, 512), default=512, help="Channels at most.")
@click.option("--repository", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--int8/--no-int8", default=False, help="Write 8-bit graphs beside.")
def main(resolution: str, widest: int, repository: Path, int8: bool) -> None:
    """Write the repository, and in its `flops.json` what an image of it computes."""
    pack = random_pack(int(resolution), widest)
    write_repository(pack, repository, click.echo)
    if int8:
        for line in write_int8(pack, repository, load_samples(pack, LABEL_MAPS, CALIBRATION_SEEDS)):
            click.echo(line)
    counted = {name: dict(each.stages) for name, each in ensemble_flops(repository).items()}
    (repository / FLOPS_FILE).write_text(json.dumps(counted, indent=1) + "\n")


if __name__ == "__main__":
    main()
