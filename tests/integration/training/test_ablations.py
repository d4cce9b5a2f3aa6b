"""`maskweave ablate` on the tiny pack: variants are trained and measured once, and where cells came from."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import training.ablations.measures
import training.ablations.run
import training.cli.ablate
from training.ablations.montage import SIDE
from training.ablations.report import PUBLISHED
from training.ablations.tables import AS_IT_IS, NO_CYCLE, TABLES, Table, Variant
from training.cli.ablate import ablate
from training.evaluation.attention import attention_sheet, likeliest_cell, origins
from training.sis_ug import stages
from training.sis_ug.config import SIS_UG, PackConfig
from training.sis_ug.pipeline import load_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "faces64"
TABLE = Table(
    "Losses",
    "What does each bring?",
    SIS_UG,
    ("rearranger", "mapper"),
    ("proxy_segmenter",),
    "Proxies are shared.",
    (Variant(AS_IT_IS), Variant("no style loss", {"rearranger.weights.style": 0.0})),
    NO_CYCLE,
)
COMMAND = (
    *("losses", "--pack", PACK, "--pairs", "4", "--device", "cpu", "--publish"),
    *("--steps-fraction", "0.05", "--batch-fraction", "0.5", "--seeds", "1"),
)


def run(*options: str) -> Result:
    return CliRunner().invoke(ablate, (*COMMAND, *options))


@pytest.fixture(scope="module")
def root(trained: Path, config: PackConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tiny pack with its data, of which the judge reads label maps, as it takes no program."""
    folder = tmp_path_factory.mktemp("ablations")
    shutil.copytree(trained / "data", folder / "data")
    (folder / "docs" / "images").mkdir(parents=True)
    without = config.model_copy(update={"data": config.data.model_copy(update={"labeller": None})})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training.cli.ablate, "load_config", lambda name: without)
        patch.setitem(TABLES, "losses", TABLE)
        for module in (training.ablations.run, training.ablations.measures):
            patch.setattr(module, "pack_folder", lambda name: trained / "pack")
        yield folder


def test_table_is_trained_measured_and_published_and_nothing_twice(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, float]] = []
    whole = dict(stages.STAGES)

    def counted(stage: str) -> Any:
        def train(config: PackConfig, *rest: Any, **given: Any) -> None:
            if len(calls) == stop_after:
                raise KeyboardInterrupt
            calls.append((stage, config.rearranger.weights.style))
            whole[stage](config, *rest, **given)

        return train

    for stage in ("rearranger", "mapper"):
        monkeypatch.setitem(stages.STAGES, stage, counted(stage))
    assert run("--dry-run").output.splitlines() == [
        "left  as it is, seed 0",
        "left  no style loss, seed 0",
    ]
    assert not (root / "runs").exists()
    stop_after = 2
    assert run().exit_code == 1  # stopped
    assert calls == [("rearranger", 2.0), ("mapper", 2.0)]
    assert run("--dry-run").output.splitlines()[0] == "done  as it is, seed 0"

    stop_after = 100
    result = run()
    assert result.exit_code == 0, result.output
    assert calls[2:] == [("rearranger", 0.0)]  # the mapper does not depend on it
    assert "| no style loss | 1 |" in result.output

    found = json.loads((root / PUBLISHED / "losses.json").read_text())
    assert [(cell["variant"], cell["seed"]) for cell in found["cells"]] == [
        ("as it is", 0),
        ("no style loss", 0),
    ]
    first, second = (cell["figures"] for cell in found["cells"])
    assert first["map_frechet"] != second["map_frechet"]
    assert found["runs"]["rearranger"] == "2 steps of 4"
    assert (root / "runs/ablations" / PACK / "losses" / "no_style_loss-seed0" / "sheet.png").exists()

    with Image.open(root / "docs/images/ablations_losses.jpg") as shown:
        assert shown.size == (10 * SIDE, 5 * SIDE)  # the styles, and two label maps of two variants

    assert run().exit_code == 0
    assert len(calls) == 3
    assert run("--pairs", "5", "--dry-run").output.startswith("left")  # is measured anew


def test_table_of_another_method_is_refused(root: Path) -> None:
    result = CliRunner().invoke(ablate, ("groups", "--pack", PACK))
    assert result.exit_code == 1
    assert "groups: is for packs of 'groupdnet', and faces64 is none" in result.output


def test_origins_are_what_attention_moves(trained: Path, config: PackConfig) -> None:
    pipeline = load_pipeline(config, trained / "pack", students=False)
    with torch.inference_mode():
        source = pipeline.head(torch.randn(2, 100, generator=torch.Generator().manual_seed(5)))
    target = source.mask.roll(1, 0)
    cells = [(3, 4), (15, 0)]
    found = origins(pipeline, source, target, cells)
    arranger, clusters = pipeline.rearranger, config.proxies.clusters
    with torch.inference_mode():
        offered, asked = (
            embed(torch.nn.functional.one_hot(mask, clusters).permute(0, 3, 1, 2).float())
            for embed, mask in ((arranger.embed_source, source.mask), (arranger.embed_target, target))
        )
        # Where one cell of the values is lit, the mean over channels is what heads take of it on average.
        for r, (index, (row, column)) in ((16, (0, cells[0])), (8, (1, cells[1]))):
            here = (row * r // 16, column * r // 16)
            lit = torch.zeros_like(source.pyramid[r])
            lit[index, :, 2, 5] = 1
            attention = arranger.attention[str(r)]
            again = attention(asked[r], arranger.answering(source.pyramid, offered, r), lit)
            assert again[index, :, *here].mean().item() == pytest.approx(
                found[index].shares[r][2, 5].item(), abs=1e-5
            )
            assert found[index].shares[r].sum().item() == pytest.approx(1, abs=1e-4)


def test_sheet_of_origins_has_a_column_for_each_class(trained: Path, config: PackConfig) -> None:
    pipeline = load_pipeline(config, trained / "pack", students=False)
    sheet = attention_sheet(config, pipeline)
    assert sheet.size == (128 * len(config.palette), 128 * 5)
    pipeline.label_reader = None
    with pytest.raises(ValueError, match="has no label segmenter"):
        attention_sheet(config, pipeline)


def test_cell_of_a_region_is_where_most_of_it_is() -> None:
    region = torch.zeros(64, 64, dtype=torch.bool)
    region[0, 0] = True
    region[20:44, 8:32] = True
    row, column = likeliest_cell(region, 16)
    assert 6 <= row <= 9
    assert 3 <= column <= 6
