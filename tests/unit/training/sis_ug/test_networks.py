import pytest
import torch

from tests.support.tiny_stylegan2 import tiny_generator
from training.generators.dcgan import load_generator
from training.networks.one_hot import one_hot
from training.networks.unet import UNet, frozen
from training.sis_ug.networks.discriminator import SegmenterDiscriminator
from training.sis_ug.networks.mapper import LabelMapMapper, proxy_histogram, straight_through_argmax
from training.sis_ug.networks.rearranger import AttentionLevel, CrossAttention, Rearranger


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_attention_moves_values_without_mixing_channels() -> None:
    attention = CrossAttention(AttentionLevel(resolution=4, heads=2, head_dim=8), channels=6, width=3)
    value = torch.zeros(1, 6, 4, 4)
    value[:, 1] = 7.0  # constant over cells: any convex mix of cells keeps it
    moved = attention(torch.randn(1, 3, 4, 4), torch.randn(1, 9, 4, 4), value)
    torch.testing.assert_close(moved, value)


def test_attention_moves_the_image_in_the_making_with_the_features() -> None:
    attention = CrossAttention(AttentionLevel(4, 2, 8), channels=6 + 3, width=3, skip_channels=3)
    value = torch.randn(2, 9, 4, 4)
    value[:, :3] = value[:, 6:]  # the first head's channels say the same as the image,
    value[:, 3:6] = value[:, 6:]  # and the second's
    moved = attention(torch.randn(2, 3, 4, 4), torch.randn(2, 12, 4, 4), value)
    torch.testing.assert_close(moved[:, 6:], (moved[:, :3] + moved[:, 3:6]) / 2)
    assert not torch.allclose(moved, value, atol=0.1)


def test_attention_that_turns_a_map_turns_its_image() -> None:
    attention = CrossAttention(AttentionLevel(4, 2, 16), channels=6 + 3, width=16, skip_channels=3)
    cells = torch.eye(16).reshape(1, 16, 4, 4)
    with torch.no_grad():
        for layer, inputs in ((attention.query, 16), (attention.key, 9 + 16)):
            layer.weight.zero_()
            assert layer.bias is not None
            layer.bias.zero_()
            for head in range(2):
                layer.weight[16 * head : 16 * head + 16, inputs - 16 :, 0, 0] = 100 * torch.eye(16)
        attention.query_position.zero_()
        attention.key_position.zero_()
    value = torch.randn(1, 9, 4, 4)
    moved = attention(cells.flip(3), torch.cat([value, cells], dim=1), value)
    torch.testing.assert_close(moved, value.flip(3))


def small_rearranger(generator_channels: dict[int, int]) -> Rearranger:
    return Rearranger(
        channels=generator_channels,
        clusters=5,
        levels=(AttentionLevel(8, 4, 8), AttentionLevel(16, 4, 8)),
        cut=32,
        mask_resolution=32,
        width=8,
        hidden={8: 16, 16: 16, 32: 16},
    )


def test_rearranger_keeps_shapes_and_stays_within_the_generators_range() -> None:
    generator = load_generator()
    network = small_rearranger(generator.channels)
    source = generator.head(torch.randn(3, 100), 32)
    masks = one_hot(torch.randint(5, (3, 32, 32)), 5)
    result = network(generator, source, masks, masks)
    assert {r: f.shape for r, f in result.items()} == {r: f.shape for r, f in source.items()}
    assert all((features >= 0).all() for features in result.values())  # as after the generator's ReLU


def test_rearranger_moves_what_an_imported_generator_makes() -> None:
    generator = tiny_generator()
    network = Rearranger(
        channels=generator.channels,
        skip_channels=generator.skip_channels,
        clusters=5,
        levels=(AttentionLevel(8, 4, 8), AttentionLevel(16, 4, 8)),
        cut=16,
        mask_resolution=16,
        width=8,
        hidden={8: 16, 16: 16},
    )
    latents = torch.randn(3, generator.latent_dim)
    styles, source = generator.styles(latents), generator.head(latents, 16)
    masks = one_hot(torch.randint(5, (3, 16, 16)), 5)
    result = network(generator, source, masks, masks, styles)
    assert {r: f.shape for r, f in result.items()} == {r: f.shape for r, f in source.items()}
    assert result[16].min() < 0  # unlike the ReLU's
    with pytest.raises(ValueError, match="needs the layer styles"):
        network(generator, source, masks, masks)


def test_target_mask_steers_the_rearranger_after_one_step() -> None:
    generator = load_generator()
    network = small_rearranger(generator.channels)
    source = generator.head(torch.randn(2, 100), 32)
    mask = one_hot(torch.randint(5, (2, 32, 32)), 5)
    result = network(generator, source, mask, mask.flip(3))
    result[32].mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert gradients["embed_target.stem.0.weight"] is not None
    assert gradients["attention.8.query.weight"] is not None
    assert gradients["attention.8.query.weight"].abs().sum() > 0


def test_discriminator_starts_with_the_segmenters_answers() -> None:
    segmenter = frozen(UNet(3, 5, (8, 12, 16)))
    images = torch.randn(2, 3, 32, 32)
    cells, whole = SegmenterDiscriminator(segmenter)(images)
    torch.testing.assert_close(cells[:, :5], segmenter(images))
    assert cells[:, 5].eq(0).all()
    assert whole.shape == (2,)


def test_mapper_ignores_the_histogram_at_strength_zero_and_follows_it_at_one() -> None:
    mapper = LabelMapMapper(classes=4, clusters=5, widths=(8, 12, 16)).eval()
    labels = torch.randint(4, (2, 64, 64), dtype=torch.uint8)
    first, second = torch.eye(5)[[0, 1]], torch.eye(5)[[3, 4]]
    off, on = torch.zeros(2, 1), torch.ones(2, 1)
    assert torch.equal(mapper(labels, first, off), mapper(labels, second, off))
    assert not torch.allclose(mapper(labels, first, on), mapper(labels, second, on))
    assert mapper(labels, first, on).shape == (2, 5, 32, 32)


def test_histogram_is_the_share_of_each_cluster() -> None:
    masks = torch.zeros(1, 4, 4, dtype=torch.long)
    masks[0, 0] = 2
    assert proxy_histogram(masks, 3).tolist() == [[0.75, 0.0, 0.25]]


def test_straight_through_argmax_is_hard_and_has_a_gradient() -> None:
    logits = torch.randn(2, 5, 4, 4, requires_grad=True)
    sample = straight_through_argmax(logits)
    torch.testing.assert_close(sample.sum(1), torch.ones(2, 4, 4))
    torch.testing.assert_close(sample.max(1).values, torch.ones(2, 4, 4))
    (sample * torch.randn(2, 5, 4, 4)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
