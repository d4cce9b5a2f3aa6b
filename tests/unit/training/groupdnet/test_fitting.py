"""What follows from a finished run's weights: statistics in chunks, and nothing twice."""

from pathlib import Path

import torch
from torch import nn

from tests.support.tiny_groupdnet import shifted_pairs, tiny
from training.groupdnet.batch_norm_recalibration import recalibrate_batch_norms
from training.groupdnet.codes.encoding import Pass
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.stage import Notes


def recalibrated(chunk: int, images: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    network = GroupDNet(tiny())
    recalibrate_batch_norms(network, shifted_pairs(40), Pass(chunk), images)
    assert not network.training
    return {name: value for name, value in network.named_buffers() if "running" in name}


def test_batch_norms_first_see_the_same_in_chunks_of_any_size() -> None:
    """What reaches the first norm does not hang on statistics: its moments are those of all images."""
    whole, chunked = recalibrated(32, 32), recalibrated(5, 32)
    for part in ("mean", "var"):
        name = f"decoder.blocks.0.norm_0.norm.running_{part}"
        assert whole[name].abs().min() > 0
        torch.testing.assert_close(chunked[name], whole[name], rtol=1e-2, atol=1e-3)


def test_deeper_batch_norms_hardly_hang_on_the_size_of_chunks() -> None:
    whole, chunked = recalibrated(64, 128), recalibrated(4, 128)
    for name, value in whole.items():
        if name.endswith("running_var"):
            torch.testing.assert_close(chunked[name], value, rtol=0.25, atol=0.02, msg=name)


def test_what_is_fitted_is_fitted_once(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> nn.Linear:
        made.append(name)
        torch.manual_seed(len(made))
        return nn.Linear(2, 2)

    def fit_all(*made_of: str) -> list[str]:
        made.clear()
        notes = Notes(tmp_path / "fitted.json", tmp_path)
        for name, of in zip(("groupdnet", "expectation", "prior"), made_of, strict=True):
            notes.once(name, of, lambda name=name: make(name))  # type: ignore[misc]  # mypy infers no default
        return list(made)

    assert fit_all("a", "b", "c") == ["groupdnet", "expectation", "prior"]
    assert fit_all("a", "b", "c") == []
    assert fit_all("a", "b", "other spread") == ["prior"]
    (tmp_path / "expectation.safetensors").write_bytes(b"damaged")
    assert fit_all("a", "b", "other spread") == ["expectation", "prior"]
    assert fit_all("more steps", "b", "other spread") == ["groupdnet", "expectation", "prior"]
