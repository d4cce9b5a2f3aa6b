"""The rearranger in parts, as served, is the rearranger as trained: of low rank or not, for any generator."""

import pytest
import torch
from torch import Tensor

from tests.support.tiny_stylegan2 import tiny_generator
from training.generators.base import FeaturePyramid, Generator
from training.generators.dcgan import load_generator
from training.networks.one_hot import one_hot
from training.sis_ug.networks.rearranger import AttentionLevel, Rearranger
from training.sis_ug.rearranger_parts import RearrangerParts
from training.sis_ug.students.low_rank import LowRankConv, low_rank_copy

CLUSTERS = 5
LEVELS = (AttentionLevel(8, 4, 8), AttentionLevel(16, 2, 8))
Given = tuple[FeaturePyramid, Tensor, Tensor, Tensor | None]


def rearranger_of(generator: Generator) -> Rearranger:
    """Untrained, but with nothing left at its initial zero."""
    torch.manual_seed(0)
    cut = min(32, max(generator.channels))
    whole = Rearranger(
        channels=generator.channels,
        clusters=CLUSTERS,
        levels=LEVELS,
        cut=cut,
        mask_resolution=cut,
        width=12,
        hidden={8: 24, 16: 16, 32: 16},
        skip_channels=generator.skip_channels,
    ).eval()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return whole


def given_to(generator: Generator) -> Given:
    """Features of two latents, both masks, and layer styles."""
    latents = torch.randn(2, generator.latent_dim)
    styles = generator.styles(latents)
    side = min(32, max(generator.channels))
    masks = one_hot(torch.randint(CLUSTERS, (4, side, side)), CLUSTERS)
    return generator.head(latents, 16, styles), masks[:2], masks[2:], styles


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("family", ["dcgan", "stylegan2"])
def test_parts_together_give_what_the_whole_gives(family: str, low_rank: bool) -> None:
    generator = load_generator() if family == "dcgan" else tiny_generator()
    whole = rearranger_of(generator)
    with torch.no_grad():
        source, own, target, styles = given_to(generator)
        if low_rank:
            whole = low_rank_copy(whole, lambda each: each(generator, source, own, target, styles), 0.9)
            assert any(isinstance(residual.enter, LowRankConv) for residual in whole.residual.values())
        expected = whole(generator, source, own, target, styles)
        parts = RearrangerParts(whole)
        found = parts(generator, source, parts.keys(source, own), parts.target(target), styles)
    assert list(found) == list(expected)
    for r, features in expected.items():
        assert features.abs().max() > 0.1
        assert (found[r] - features).abs().max() < 1e-5 * max(1, features.abs().max())


def test_target_matters_through_queries_and_additions() -> None:
    """None of the parts is idle: with another mask each of them changes what comes out."""
    generator = load_generator()
    parts = RearrangerParts(rearranger_of(generator))
    with torch.no_grad():
        source, own, other, _ = given_to(generator)
        keys, mine, theirs = parts.keys(source, own), parts.target(own), parts.target(other)
        same = parts(generator, source, keys, mine)[32]
        for name in ("queries", "additions"):
            mixed = type(mine)(
                theirs.queries if name == "queries" else mine.queries,
                theirs.additions if name == "additions" else mine.additions,
            )
            assert not torch.allclose(parts(generator, source, keys, mixed)[32], same, atol=1e-3)
        assert not torch.allclose(
            parts(generator, source, parts.keys(source, other), mine)[32], same, atol=1e-3
        )


def test_weights_keep_their_names() -> None:
    """Files of trained packs and checkpoints of trainings that run hold these."""
    names = set(rearranger_of(load_generator()).state_dict())
    for level in (8, 16):
        for name in (
            "query.weight",
            "query.bias",
            "key.weight",
            "key.bias",
            "query_position",
            "key_position",
        ):
            assert f"attention.{level}.{name}" in names
    for level in (8, 16, 32):
        for layer in ("enter", "middle", "leave"):
            assert {f"residual.{level}.{layer}.weight", f"residual.{level}.{layer}.bias"} <= names
    assert {"gate.16", "embed_source.stem.0.weight", "embed_target.down.1.2.bias"} <= names
    assert len(names) == 12 + 18 + 1 + 2 * 10
