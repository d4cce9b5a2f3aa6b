"""The section `[training]` of tiny packs of GroupDNet that train on folders."""

from __future__ import annotations

TRAINING = """
[training]
steps = {steps}
batch = 4
learning_rate = 1e-3
discriminator_learning_rate = 1e-3
joint_spread = {joint_spread}
single_spread = 0.7

[training.discriminator]
width = 8
layers = 2

[training.judge]
widths = [8, 12]
steps = {judge_steps}
batch = {judge_batch}
learning_rate = 5e-3

[training.weights]
adversarial = 1.0
matching = 1.0
pixels = 5.0
features = 1.0
label = 0.5
kl = 0.002
leak = 5.0
style = 1.0
"""


def training_text(*, steps: int, judge_steps: int, judge_batch: int, joint_spread: float) -> str:
    """A training of a few steps, in batches of 4."""
    return TRAINING.format(
        steps=steps, judge_steps=judge_steps, judge_batch=judge_batch, joint_spread=joint_spread
    )
