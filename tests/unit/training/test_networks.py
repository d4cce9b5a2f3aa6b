import pytest
import torch

from tests.support.tiny_stylegan2 import tiny_generator
from training.clustering import ProxyClusters, blur, fit_clusters
from training.discriminator import SegmenterDiscriminator
from training.generators.dcgan import load_generator
from training.mapper import LabelMapMapper, proxy_histogram, straight_through_argmax
from training.rearranger import AttentionLevel, CrossAttention, Rearranger
from training.unet import UNet, frozen, one_hot


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_one_hot_marks_each_cells_id() -> None:
    ids = torch.tensor([[[0, 2], [1, 1]]], dtype=torch.uint8)
    assert one_hot(ids, 3).argmax(1).tolist() == ids.tolist()
    assert one_hot(ids, 3).sum(1).eq(1).all()


@pytest.mark.parametrize(("fold", "side"), [(2, 32), (4, 64), (16, 256)])
def test_unet_folds_larger_pictures_further(fold: int, side: int) -> None:
    pictures = torch.randn(1, 3, side, side)
    assert UNet(3, 5, (8, 12, 16), fold=fold)(pictures).shape == (1, 5, 16, 16)
    assert UNet(3, 5, (8, 12, 16), fold=fold, unfold=True)(pictures).shape == (1, 5, side, side)


@pytest.mark.parametrize(("unfold", "side"), [(False, 16), (True, 32)])
def test_unet_gives_logits_at_half_or_full_resolution(unfold: bool, side: int) -> None:
    network = UNet(3, 5, (8, 12, 16), unfold=unfold)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 5, side, side)


def test_frozen_copy_computes_the_same_and_leaves_the_original_alone() -> None:
    network = UNet(3, 5, (8, 12, 16))
    pictures = torch.randn(8, 3, 32, 32)
    network.train()
    network(pictures)  # moves the batch norms' statistics off their start
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fast = frozen(network)
    network.eval()
    torch.testing.assert_close(fast(pictures), network(pictures), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_blur_cancels_a_checkerboard() -> None:
    ramp = torch.arange(8)
    board = ((ramp[:, None] + ramp[None, :]) % 2).float()[None, None]
    inside = blur(board)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5))


def test_clusters_give_the_nearest_centroid_of_the_projected_hypercolumn() -> None:
    generator = load_generator()
    pyramid = generator.head(torch.randn(6, 100), 32)
    clusters = fit_clusters([pyramid], count=5, components=6, cells=2000, resolution=32, seed=0)
    masks = clusters(pyramid)
    assert masks.shape == (6, 32, 32)
    assert set(masks.unique().tolist()) == set(range(5))
    # The same by definition: whole hypercolumn first, projection after it.
    from training.clustering import hypercolumn  # noqa: PLC0415

    columns = hypercolumn(pyramid, 32).movedim(1, -1) - clusters.get_buffer("mean")
    cells = torch.nn.functional.normalize(columns @ clusters.get_buffer("components").T, dim=-1)
    nearest = torch.cdist(cells.flatten(0, 2), clusters.get_buffer("centroids")).argmin(-1).view(6, 32, 32)
    agreement = (nearest[:, 1:-1, 1:-1] == masks[:, 1:-1, 1:-1]).float().mean()
    assert agreement > 0.999


def test_border_cells_take_their_neighbours_cluster() -> None:
    generator = load_generator()
    pyramid = generator.head(torch.randn(2, 100), 32)
    clusters = ProxyClusters(torch.zeros(448), torch.randn(6, 448), torch.randn(5, 6), 32)
    masks = clusters(pyramid)
    assert torch.equal(masks[:, 0], masks[:, 1])
    assert torch.equal(masks[:, :, -1], masks[:, :, -2])


def test_attention_moves_values_without_mixing_channels() -> None:
    attention = CrossAttention(AttentionLevel(resolution=4, heads=2, head_dim=8), channels=6, width=3)
    value = torch.zeros(1, 6, 4, 4)
    value[:, 1] = 7.0  # constant over cells: any convex mix of cells keeps it
    moved = attention(torch.randn(1, 3, 4, 4), torch.randn(1, 9, 4, 4), value)
    torch.testing.assert_close(moved, value)


def test_attention_moves_the_picture_in_the_making_with_the_features() -> None:
    attention = CrossAttention(AttentionLevel(4, 2, 8), channels=6 + 3, width=3, skip_channels=3)
    value = torch.randn(2, 9, 4, 4)
    value[:, :3] = value[:, 6:]  # the first head's channels say the same as the picture,
    value[:, 3:6] = value[:, 6:]  # and the second's
    moved = attention(torch.randn(2, 3, 4, 4), torch.randn(2, 12, 4, 4), value)
    torch.testing.assert_close(moved[:, 6:], (moved[:, :3] + moved[:, 3:6]) / 2)
    assert not torch.allclose(moved, value, atol=0.1)


def test_attention_that_turns_a_map_turns_its_picture() -> None:
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
    pictures = torch.randn(2, 3, 32, 32)
    cells, whole = SegmenterDiscriminator(segmenter)(pictures)
    torch.testing.assert_close(cells[:, :5], segmenter(pictures))
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
