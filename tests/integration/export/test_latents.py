"""A seed means the same latent to whoever draws it: the gateway, training and evaluation."""

import numpy as np
import pytest

from service.synthesis.registry.models import Model
from service.synthesis.validation.latents import latent_from_seed
from training.data.samples import latents_of
from training.sis_ug.config import load_config


@pytest.mark.parametrize("seed", [0, 1, 123456789, 2**32 - 1])
def test_gateway_and_training_draw_the_same_latent(seed: int) -> None:
    scale = load_config("faces64").latent.scale
    model = Model(
        name="any",
        title="",
        description="",
        version="1.0.0",
        palette=(),
        conditions={},
        image_width=64,
        image_height=64,
        latent_size=100,
        latent_scale=scale,
    )
    np.testing.assert_array_equal(latent_from_seed(seed, model), latents_of([seed], 100, scale)[0].numpy())
