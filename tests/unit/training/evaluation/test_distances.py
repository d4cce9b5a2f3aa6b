"""Distances to real images, against what they are by definition."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from training.evaluation.distances import (
    FLOOR,
    RealImages,
    as_markdown,
    feature_distance,
    frechet_distance,
    inception_features,
    kernel_distance,
    measure,
    network_features,
)
from training.networks.unet import UNet

Images = NDArray[np.uint8]
Vectors = NDArray[np.float64]


def gaussian_points(mean: Vectors, covariance: Vectors, count: int, seed: int) -> Vectors:
    """Points whose sample mean and covariance are exactly those given, `[N, D]`."""
    points = np.random.default_rng(seed).normal(size=(count, len(mean)))
    points -= points.mean(0)
    whitened = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    exact: Vectors = whitened @ np.linalg.cholesky(covariance).T + mean
    return exact


def test_frechet_distance_of_gaussians_that_commute_is_known() -> None:
    # (m1 - m2)^2 + sum (s1 - s2)^2 over the axes.
    first = gaussian_points(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 200, 0)
    second = gaussian_points(np.array([1.0, 0.0, -2.0]), np.diag([4.0, 4.0, 1.0]), 300, 1)
    assert frechet_distance(first, second) == pytest.approx(5 + 1 + 0 + 4, rel=1e-9)


def test_frechet_distance_of_any_gaussians_is_the_formulas() -> None:
    random = np.random.default_rng(2)
    roots = random.normal(size=(2, 5, 5))
    covariances = [root @ root.T + 0.1 * np.eye(5) for root in roots]
    first, second = (gaussian_points(np.zeros(5), one, 50, seed) for seed, one in enumerate(covariances))
    expected = np.trace(covariances[0] + covariances[1] - 2 * np.real(sqrtm(covariances[0] @ covariances[1])))
    assert frechet_distance(first, second) == pytest.approx(float(expected), rel=1e-9)
    assert frechet_distance(second, first) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("dimensions", [3, 40], ids=["many vectors", "fewer vectors than dimensions"])
def test_equal_sets_are_at_no_frechet_distance_and_shifted_ones_at_the_shifts(dimensions: int) -> None:
    points = np.random.default_rng(0).normal(size=(20, dimensions))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points, points[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points, points + 2.0) == pytest.approx(4.0 * dimensions, rel=1e-9)


def test_kernel_distance_of_whole_sets_is_the_definition() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(6, 4)), random.normal(0.5, 1, (6, 4))

    def kernel(x: Vectors, y: Vectors) -> float:
        return float((x @ y / 4 + 1) ** 3)

    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    within = sum(kernel(first[i], first[j]) + kernel(second[i], second[j]) for i, j in pairs) / len(pairs)
    across = sum(kernel(x, y) for x in first for y in second) / 36
    mean, deviation = kernel_distance(first, second, size=1000, subsets=3)
    assert mean == pytest.approx(within - 2 * across, rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    random = np.random.default_rng(0)
    same = [
        kernel_distance(*random.normal(size=(2, 12, 4)), subsets=2, size=6, seed=draw)[0]
        for draw in range(2000)
    ]
    error = np.std(same) / np.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * error
    assert min(same) < 0
    # The biased estimate keeps the diagonal: E (x . x / 4 + 1)^3 = 11.5 where pairs have 1.75, in a sixth.
    assert 4 * error < 2 * (11.5 - 1.75) / 6 / 10


def test_kernel_distance_of_shifted_gaussians_is_known() -> None:
    # In one dimension E (x y + 1)^3 over pairs of N(m, 1) and N(n, 1) is 1 + 3 m n + 3 (1 + m^2)(1 + n^2)
    # + (m^3 + 3 m)(n^3 + 3 n): 4 for two of mean 0, 32 for two of mean 1, 7 across.
    random = np.random.default_rng(1)
    mean, _ = kernel_distance(
        random.normal(0, 1, (3000, 1)), random.normal(1, 1, (3000, 1)), size=3000, subsets=1
    )
    assert mean == pytest.approx(4 + 32 - 2 * 7, rel=0.1)


def colored(count: int, level: int, seed: int) -> Images:
    """Images of noise around a grey."""
    noise = np.random.default_rng(seed).normal(level, 30, (count, 8, 8, 3))
    return noise.round().clip(0, 255).astype(np.uint8)


def mean_colors(images: Images) -> Vectors:
    means: Vectors = images.mean((1, 2))
    return means


def test_floor_is_between_halves_and_rows_are_no_nearer_for_being_the_same_images() -> None:
    real = colored(40, 128, 0)
    reference = RealImages(real, mean_colors)
    assert reference.floor().images == 20
    assert reference.distance(real).frechet == pytest.approx(reference.floor().frechet)
    shifted = reference.distance((real + 10).astype(np.uint8))
    assert shifted.frechet > reference.floor().frechet + 200  # 10 levels in each of three channels


def test_table_has_the_floor_and_every_row_for_every_kind() -> None:
    rows = {"near": colored(21, 128, 1), "far": colored(21, 140, 2)}
    found = measure(colored(21, 128, 3), rows, {"colours": mean_colors, "again": mean_colors})
    assert list(found) == ["colours", "again"]
    assert list(found["colours"]) == [FLOOR, "near", "far"]
    table = as_markdown(found)
    assert table.count("10 against 10") == 2
    assert "by features of colours" in table
    assert all(table.count(f"| {name} |") == 2 for name in found["again"])


def test_network_features_are_means_of_the_bottleneck() -> None:
    network = UNet(3, 2, (4, 6)).eval()
    images = colored(3, 128, 0)
    assert network_features(network)(images).shape == (3, 6)
    expected = network.encode_features(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)[-1]
    np.testing.assert_allclose(
        network_features(network)(images), expected.mean((2, 3)).detach().numpy(), rtol=1e-5
    )


def test_distances_of_large_images_take_fewer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = UNet(3, 2, (4, 6)).eval()
    encode, given = network.encode_features, list[int]()

    def noted(pixels: torch.Tensor) -> list[torch.Tensor]:
        given.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(network, "encode_features", noted)
    images = torch.zeros(14, 3, 128, 128)
    with torch.inference_mode():
        assert feature_distance(network, images, images) == 0
    assert max(given) == 12


class Inception:
    """torch-fidelity's extractor as far as it is used."""

    def __init__(self, name: str, features: list[str]) -> None:
        self.features = features

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 8, 8)
        return (images.float().mean((2, 3)),)


def fake_torch_fidelity(patch: pytest.MonkeyPatch, extractor: object) -> None:
    module = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = extractor  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    patch.setitem(sys.modules, module.__name__, module)


def test_inception_takes_bytes_channels_first(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch_fidelity(monkeypatch, Inception)
    images = colored(3, 128, 0)
    np.testing.assert_allclose(inception_features()(images), mean_colors(images), rtol=1e-5)


def test_inception_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, features: list[str]) -> None:
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(FileNotFoundError, match=r"torch-fidelity is not installed .*pip install"):
        inception_features()
    fake_torch_fidelity(monkeypatch, unreachable)
    with pytest.raises(FileNotFoundError, match=r"weights of Inception cannot be loaded \(no route to"):
        inception_features()
