"""Tables of ablations: every variant is a configuration of its own; what is the same is trained once."""

from pathlib import Path

import pytest

from training.ablations.configs import Budget, variant_config
from training.ablations.run import cells_of
from training.ablations.tables import TABLES
from training.ablations.trained import AnyConfig, call_of
from training.groupdnet.config import METHOD, load_styles_config
from training.sis_ug.config import load_config

BUDGET = Budget(0.1, 0.5, 512)


def pack_config(name: str) -> AnyConfig:
    """Of the shipped pack that a table is run on."""
    is_styles = TABLES[name].method == METHOD
    return load_styles_config("faces64_styles") if is_styles else load_config("faces64")


@pytest.mark.parametrize("name", TABLES)
def test_every_variant_differs_from_every_other(name: str) -> None:
    cells = cells_of(name, TABLES[name], pack_config(name), BUDGET, range(2), 4, Path("runs"))
    assert len({cell.wanted for cell in cells}) == len({cell.folder for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


@pytest.mark.parametrize("name", TABLES)
def test_first_variant_is_the_configuration_as_it_is(name: str) -> None:
    config, first = pack_config(name), TABLES[name].variants[0]
    own = variant_config(config, first.changes, Budget()).model_dump()
    shipped = config.model_dump()
    assert {key: value for key, value in own.items() if value is not None} == {
        key: value for key, value in shipped.items() if own[key] is not None
    }


def test_what_tables_have_in_common_is_trained_once() -> None:
    """The rearranger as it is shipped, and the mapper, on which no loss of the rearranger has a bearing."""

    def depends_on(table: str, stage: str, variant: int = 0) -> object:
        chosen = TABLES[table]
        config = variant_config(load_config("faces64"), chosen.variants[variant].changes, BUDGET)
        return call_of(config, stage, chosen.options.get(stage, {})).depends_on

    first = depends_on("losses", "rearranger")
    assert depends_on("cut", "rearranger") == depends_on("attention", "rearranger") == first
    assert depends_on("losses", "rearranger", 1) != first
    mapper = depends_on("losses", "mapper")
    assert all(depends_on("losses", "mapper", variant) == mapper for variant in range(1, 6))
    assert depends_on("clusters", "mapper", 1) != mapper


def test_budget_makes_runs_shorter_and_leaves_the_rest() -> None:
    config = load_config("faces64")
    short = variant_config(config, {}, Budget(0.1, 0.5))
    assert short.rearranger.steps == 400
    assert short.rearranger.batch == 16
    assert short.mapper.supervised.steps == 180
    assert short.rearranger.weights == config.rearranger.weights
    assert variant_config(config, {}, Budget(1e-9, 1e-9)).rearranger.batch == 4


def test_samples_limit_what_a_pack_of_groupdnet_sees() -> None:
    short = variant_config(load_styles_config("faces64_styles"), {}, Budget(samples=512))
    assert short.model_dump()["data"] == {"pack": "faces64", "samples": 512}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rearranger.weights.taste": 0.0}, "rearranger.weights.taste: the configuration has no such value"),
        ({"rearranger.nothing.at": 0.0}, "rearranger.nothing.at: the configuration has no such value"),
        (
            {"proxies.clusters": 1},
            "proxies.clusters: proxies.clusters: Input should be greater than or equal",
        ),
    ],
)
def test_changes_that_do_not_fit_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        variant_config(load_config("faces64"), changes, Budget())
