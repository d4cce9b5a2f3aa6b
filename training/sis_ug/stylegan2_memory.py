"""What a step of the rearranger's training keeps for its backward pass, by the size of the images.

Counted, not measured: the step's forward pass runs on PyTorch's meta device, where tensors have shapes and no
numbers, and autograd tells what it keeps. In single precision; weights, gradients and optimisers come on top.

    python -m training.sis_ug.stylegan2_memory
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.generators.sections import StyleGan2Section
from training.generators.stylegan2.architecture import Architecture, tensor_shapes
from training.generators.stylegan2.generator import StyleGan2Generator
from training.networks.one_hot import one_hot
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.build import proxy_segmenter, rearranger
from training.sis_ug.networks.discriminator import SegmenterDiscriminator

SIZES = (64, 128, 256, 512, 1024)
MASK = 32
"""Cells per side of a proxy mask, at every size."""
WIDEST = 512
BASE = 32768
"""Channels at a resolution r are this over r, at most `WIDEST`: the published configuration."""


def kept_bytes(side: int) -> int:
    """Bytes that autograd keeps of one sample, from the features to the losses' networks."""
    config, generator = _pack(side)
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.device("meta"):
        segmenter = proxy_segmenter(config).eval().requires_grad_(False)
        network = rearranger(config, generator)
        discriminator = SegmenterDiscriminator(segmenter)
        latent = torch.empty(1, generator.latent_dim)
        masks = one_hot(torch.zeros(1, MASK, MASK, dtype=torch.uint8), config.proxies.clusters)
        with torch.no_grad():
            styles = generator.styles(latent)
            pyramid = generator.head(latent, max(generator.channels), styles)
        fixed = {
            t.untyped_storage()._cdata
            for m in (generator, segmenter, network, discriminator)
            for t in m.state_dict().values()
        }
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            arranged = network(generator, pyramid, masks, masks, styles)
            images = generator.tail(arranged[config.rearranger.cut], config.rearranger.cut, styles)
            held = [segmenter(images), discriminator(images)]
    del held
    return sum(size for storage, size in kept.items() if storage not in fixed)


def published_config(side: int, name: str = "faces64") -> tuple[PackConfig, StyleGan2Section]:
    """A pack with the settings of faces64 on a StyleGAN2, and its section."""
    values = load_config("faces64").model_dump()
    section = StyleGan2Section(resolution=side, truncation=0.7, noise="const")
    values |= {"stylegan2": section, "inversion": None}
    values["pack"] |= {"generator": "stylegan2", "name": name}
    values["proxies"] |= {"resolution": MASK}
    return PackConfig.model_validate(values), section


def published_architecture(side: int, widest: int = WIDEST) -> Architecture:
    """The published sizes at a number of pixels, with no more channels than `widest`."""
    return Architecture(
        resolution=side,
        latent_size=widest,
        style_size=widest,
        mapping_layers=8,
        mapping_rate=0.01,
        channels={r: min(BASE // r, widest) for r in (4 << i for i in range(9)) if r <= side},
        clamp=256.0,
    )


def _pack(side: int) -> tuple[PackConfig, StyleGan2Generator]:
    """Such a pack on a generator without numbers."""
    config, section = published_config(side)
    architecture = published_architecture(side)
    state = {name: torch.ones(shape) for name, shape in tensor_shapes(architecture).items()}
    generator = StyleGan2Generator(architecture, state, coarsest=8, finest=MASK, section=section)
    return config, generator.to("meta")


def main() -> None:
    """Print a row for each size."""
    for side in SIZES:
        print(f"{side:5} px: {kept_bytes(side) / 2**30:6.2f} GiB a sample")


if __name__ == "__main__":
    main()
