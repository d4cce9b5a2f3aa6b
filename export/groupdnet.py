"""The stages of a pack of the method GroupDNet: prior and decoder, and beside them the encoder.

The ensemble makes images of latents; styles that are given take the place of the latent's. The gateway asks
encoder and prior by themselves when a caller wants the styles of an image, or of a seed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from export.exported import (
    Array,
    ExportedPack,
    Images,
    Models,
    ServedCondition,
    condition_parameters,
    image_of,
)
from export.label_reader import label_reader_stage
from export.stages import (
    IMAGE,
    LABEL_MAP,
    LABEL_MAP_CONDITION,
    LATENT,
    LEVELS,
    PICTURE,
    Stage,
    TensorSpec,
    below,
    ensemble_name,
    from_image,
    fused_name,
    normal,
    regions,
    to_image,
)
from training.config.packs import pack_folder
from training.groupdnet.codes.expectation import RelativeGroupDNet
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.config import StylesConfig, load_styles_config
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.trained import TrainedStyles, load_styles
from training.networks.one_hot import one_hot

STYLE_MEAN = "STYLE_MEAN"
STYLE_LOG_VARIANCE = "STYLE_LOG_VARIANCE"
JOINT_STYLES = "JOINT_STYLES"
SINGLE_STYLES = "SINGLE_STYLES"
GIVEN_STYLES = "GIVEN_STYLES"
STYLE_GIVEN = "STYLE_GIVEN"

LATENT_SCALE = 1.0


class StyleEncoder(nn.Module):
    """Image and label map to mean and log variance of each style's code."""

    def __init__(self, network: RelativeGroupDNet, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, image: Tensor, label_map: Tensor) -> tuple[Tensor, Tensor]:
        """See `Stage`."""
        return self.network.encode(from_image(image), one_hot(label_map, self.classes))


class StyleDecoder(nn.Module):
    """Label map and codes to a uint8 image, channels last; codes that are given win."""

    def __init__(self, network: RelativeGroupDNet, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, label_map: Tensor, joint: Tensor, given: Tensor, is_given: Tensor) -> Tensor:
        """See `Stage`."""
        # Through floats: TensorRT has no uint8 inside a network, and compares those on every target.
        codes = torch.where(is_given.float()[:, :, None] > 0, given, joint)
        return to_image(self.network(codes, one_hot(label_map, self.classes)))


class FusedStyles(nn.Module):
    """Prior and decoder as one graph, without what nobody reads."""

    def __init__(self, prior: StylePrior, decoder: StyleDecoder) -> None:
        super().__init__()
        self.prior, self.decoder = prior, decoder

    def forward(self, label_map: Tensor, latent: Tensor, given: Tensor, is_given: Tensor) -> Tensor:
        """See `Stage`."""
        image: Tensor = self.decoder(label_map, self.prior.joint(latent), given, is_given)
        return image


def groupdnet_pack(trained: TrainedStyles) -> ExportedPack:
    """All that is exported of a pack of GroupDNet.

    Raises:
        ValueError: if it is a network to compare with.
    """
    config = trained.config
    _require_servable(config)
    name, section = config.pack.name, config.network
    network, prior = folded(trained.network, section), trained.prior
    (height, width), classes = section.image_size, section.classes
    codes = section.styles, section.style_size
    decoder = StyleDecoder(network, classes)
    label_map = TensorSpec(LABEL_MAP, torch.uint8, (height, width), regions(classes))
    latent = TensorSpec(LATENT, torch.float32, (section.code_numbers,), normal(LATENT_SCALE))
    joint, single, given, mean, log_variance = (
        TensorSpec(tensor, torch.float32, codes, normal(1))
        for tensor in (JOINT_STYLES, SINGLE_STYLES, GIVEN_STYLES, STYLE_MEAN, STYLE_LOG_VARIANCE)
    )
    is_given = TensorSpec(STYLE_GIVEN, torch.uint8, codes[:1], below(2))
    given_image = TensorSpec(PICTURE, torch.uint8, (height, width, 3), below(LEVELS))
    made = (TensorSpec(IMAGE, torch.uint8, (height, width, 3)),)
    encoder = Stage(
        f"{name}_encoder", StyleEncoder(network, classes), (given_image, label_map), (mean, log_variance)
    )
    reader = (
        None
        if trained.label_reader is None
        else label_reader_stage(config.pack, trained.label_reader, given_image, classes)
    )
    stages = (
        Stage(f"{name}_prior", prior, (latent,), (joint, single)),
        Stage(f"{name}_decoder", decoder, (label_map, joint, given, is_given), made),
    )
    condition = ServedCondition(
        name=ensemble_name(name),
        stages=stages,
        fused=Stage(
            fused_name(name), FusedStyles(prior, decoder), (label_map, latent, given, is_given), made
        ),
        parameters=condition_parameters(config.pack, config.palette, LABEL_MAP_CONDITION, LATENT_SCALE)
        | {
            "style_encoder": encoder.name,
            "style_prior": stages[0].name,
            "style_classes": ",".join(map(str, section.style_classes)),
            "style_size": str(section.style_size),
        },
        walk=lambda models, labels, latents: walk(
            models, (encoder.name, stages[0].name), labels, latents, None if reader is None else reader.name
        ),
    )
    return ExportedPack(
        name=name,
        palette=config.palette,
        image_side=height,
        image_width=width,
        latent_size=section.code_numbers,
        latent_scale=LATENT_SCALE,
        conditions=(condition,),
        aside=(encoder, stages[0], *(() if reader is None else (reader,))),
    )


def walk(
    models: Models, aside: tuple[str, str], labels: Array, latents: Array, reader: str | None = None
) -> Images:
    """Images of latents alone, then with every other style given.

    What is given are by turns styles read from another one of these images, and single ones of another
    latent. `aside` are the names of encoder and prior. If there is a label `reader`, also images of the label
    maps that it reads off the first.
    """
    encoder, prior = aside
    single = models.ask(prior, {LATENT: np.roll(latents, 1, 0)})[SINGLE_STYLES]
    inputs = {
        LABEL_MAP: labels,
        LATENT: latents,
        GIVEN_STYLES: np.zeros_like(single),
        STYLE_GIVEN: np.zeros(single.shape[:2], np.uint8),
    }
    own = image_of(models(inputs))
    shown = {PICTURE: np.roll(own, 1, 0), LABEL_MAP: np.roll(labels, 1, 0)}
    given = models.ask(encoder, shown)[STYLE_MEAN].copy()
    given[:, 1::2] = single[:, 1::2]
    every_other = np.add.outer(np.arange(len(labels)), np.arange(single.shape[1])) % 2
    inputs |= {GIVEN_STYLES: given, STYLE_GIVEN: every_other.astype(np.uint8)}
    made = [own, image_of(models(inputs))]
    if reader is not None:
        read = models.ask(reader, {PICTURE: own})[LABEL_MAP]
        made.append(image_of(models(inputs | {LABEL_MAP: read})))
    return np.concatenate(made)


def folded(relative: RelativeGroupDNet, section: NetworkSection) -> RelativeGroupDNet:
    """The same network for inference, with plain weights in the place of spectral-normed ones.

    Built anew: taking parametrizations off a copy takes them off the original, whose class it shares.

    Args:
        relative: in evaluation mode.
        section: what it was built from.
    """
    encoder = section.encoder.model_copy(update={"spectral": False})
    plain = GroupDNet(section.model_copy(update={"spectral": False, "encoder": encoder}))
    network = relative.network
    state = network.state_dict()
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and parametrize.is_parametrized(layer, "weight"):
            state = {key: value for key, value in state.items() if f"{name}.parametrizations." not in key}
            state[f"{name}.weight"] = layer.weight
    plain.load_state_dict(state)
    return RelativeGroupDNet(plain, relative.expectation).eval().requires_grad_(False)


def _require_servable(config: StylesConfig) -> None:
    network, pack = config.network, config.pack.name
    if not network.grouped:
        raise ValueError(
            f"pack {pack!r} is not served: without groups its styles reach the whole image; it is there to "
            "compare with"
        )


def load_groupdnet(name: str) -> ExportedPack:
    """A trained pack of GroupDNet.

    Raises:
        FileNotFoundError: if it has not been trained.
        ValueError: if the configuration does not fit, or it is none to be served.
    """
    config = load_styles_config(name)
    _require_servable(config)  # before weights are looked for, which a network to compare with has not
    return groupdnet_pack(load_styles(config, pack_folder(name)))
