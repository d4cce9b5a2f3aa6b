"""Low-rank copies: exact where outputs vary in few directions, cheaper, and read back as they were stored."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.tiny_pack import tiny_config
from training.config.weights import save_weights
from training.networks.unet import frozen
from training.sis_ug.networks.build import label_map_mapper
from training.sis_ug.networks.mapper import LabelMapMapper
from training.sis_ug.students.build import load_low_rank
from training.sis_ug.students.low_rank import (
    LowRankConv,
    PairedOutputs,
    is_cheaper,
    low_rank_copy,
    rank_for,
    ranks_of,
    with_ranks,
)


def convolution(rank: int) -> nn.Sequential:
    """3x3, 24 to 32 channels, whose outputs vary in `rank` directions, behind a bias."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.Conv2d(32, 4, 1)).eval()
    layer = network[0]
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        directions = torch.linalg.qr(torch.randn(32, rank))[0]
        layer.weight.copy_(torch.einsum("or,rikl->oikl", directions, torch.randn(rank, 24, 3, 3)))
        assert layer.bias is not None
        layer.bias.copy_(torch.randn(32))
    return network


def test_copy_is_exact_where_the_rank_suffices() -> None:
    network, inputs = convolution(8), torch.randn(4, 24, 10, 10)
    copied = low_rank_copy(network, lambda each: each(inputs), 1 - 1e-9)
    assert ranks_of(copied.state_dict()) == {"0": 8}
    others = torch.randn(3, 24, 10, 10)
    torch.testing.assert_close(copied(others), network(others), rtol=1e-3, atol=1e-3)
    assert sum(p.numel() for p in copied.parameters()) < sum(p.numel() for p in network.parameters())


def test_less_energy_means_lower_rank_and_larger_error() -> None:
    network, inputs = convolution(32), torch.randn(4, 24, 10, 10)
    errors, ranks = [], []
    for energy in (0.3, 0.6):
        copied = low_rank_copy(network, lambda each: each(inputs), energy)
        ranks.append(ranks_of(copied.state_dict())["0"])
        errors.append((copied(inputs) - network(inputs)).square().mean().item())
    assert ranks[0] < ranks[1] < 32
    assert errors[0] > errors[1] > 0


def test_convolution_stays_where_a_copy_is_not_cheaper() -> None:
    network, inputs = convolution(32), torch.randn(4, 24, 10, 10)
    copied = low_rank_copy(network, lambda each: each(inputs), 1.0)
    assert ranks_of(copied.state_dict()) == {}
    torch.testing.assert_close(copied(inputs), network(inputs), rtol=1e-3, atol=1e-3)
    assert is_cheaper(nn.Conv2d(24, 32, 3), 27)
    assert not is_cheaper(nn.Conv2d(24, 32, 3), 28)  # 28 x (24 x 9 + 32) > 24 x 32 x 9


@pytest.mark.parametrize(
    ("variances", "energy", "rank"),
    [([1.0] * 32, 0.25, 8), ([1.0] * 32, 0.26, 16), ([1.0] * 12, 1.0, 12), ([0.0] * 12, 0.5, 12)],
)
def test_rank(variances: list[float], energy: float, rank: int) -> None:
    assert rank_for(torch.tensor(variances), energy) == rank


def test_later_convolutions_mend_what_earlier_ones_lost() -> None:
    """Fitted to the copy's own inputs: better than each fitted by itself."""
    torch.manual_seed(0)
    layers = nn.Conv2d(24, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3)
    network = nn.Sequential(*layers)
    inputs, others = torch.randn(4, 24, 16, 16), torch.randn(4, 24, 16, 16)
    copied = low_rank_copy(network.eval(), lambda each: each(inputs), 0.6)
    assert ranks_of(copied.state_dict()).keys() == {"0", "2"}  # the last is narrow already
    apart = copy.deepcopy(copied)
    apart[4].load_state_dict(network[4].state_dict())
    wanted = network(others)
    assert (copied(others) - wanted).square().mean() < 0.95 * (apart(others) - wanted).square().mean()


def test_fit_is_of_all_batches_together() -> None:
    torch.manual_seed(0)
    copied = torch.randn(6, 5, 4, 4) * torch.tensor([3.0, 1, 1, 1, 0.1])[:, None, None] + 7
    matrix = torch.randn(5, 5)
    teacher = torch.einsum("oc,bchw->bohw", matrix, copied) - 2
    outputs = PairedOutputs()
    for pair in zip(teacher.split(2), copied.split(2), strict=True):
        outputs.add(*pair)
    fit = outputs.fit()
    torch.testing.assert_close(fit.matrix.float(), matrix, rtol=1e-2, atol=1e-2)
    cells = teacher.movedim(1, -1).reshape(-1, 5).double()
    torch.testing.assert_close(fit.target, cells.mean(0))
    torch.testing.assert_close(fit.variances.sum(), cells.var(0, unbiased=False).sum(), rtol=1e-3, atol=1e-3)
    assert fit.variances[0] >= fit.variances[-1] >= 0


def test_student_is_read_back_with_the_ranks_it_was_stored_with(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = frozen(label_map_mapper(tiny_config()))
    labels, histogram = torch.randint(0, 8, (2, 64, 64)), torch.full((2, 6), 1 / 6)
    asked = labels, histogram, torch.ones(2, 1)
    student = low_rank_copy(teacher, lambda each: each(*asked), 0.5)
    assert any(isinstance(module, LowRankConv) for module in student.modules())
    save_weights(student, tmp_path, "lean")
    read = load_low_rank(teacher, tmp_path, "lean")
    torch.testing.assert_close(read(*asked), student(*asked), rtol=1e-2, atol=1e-2)  # half precision
    assert not any(parameter.requires_grad for parameter in read.parameters())


def test_damaged_or_missing_student_says_so(tmp_path: Path) -> None:
    teacher = frozen(label_map_mapper(tiny_config()))
    with pytest.raises(FileNotFoundError, match=r"lean\.safetensors is missing"):
        load_low_rank(teacher, tmp_path, "lean")
    (tmp_path / "lean.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no safetensors file"):
        load_low_rank(teacher, tmp_path, "lean")
    save_weights(with_ranks(teacher, {"network.stem.0": 8}), tmp_path, "lean")
    with pytest.raises(ValueError, match=r"does not fit .*: its teacher has no 'network"):
        load_low_rank(teacher.network, tmp_path, "lean")
    wider = LabelMapMapper(8, 6, (24, 24, 32))
    with pytest.raises(ValueError, match="does not fit the pack's configuration: size mismatch"):
        load_low_rank(frozen(wider), tmp_path, "lean")
