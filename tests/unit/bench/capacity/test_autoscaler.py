"""The arithmetic of the autoscaler, and its settings from the chart's values and manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from maskweave_bench.capacity.autoscaler import CPU, IN_PROGRESS, WORK_WAITING, Autoscaler, Scaling
from maskweave_bench.capacity.autoscaler_settings import SettingsError, from_manifests, from_values

CHART = Path(__file__).parents[4] / "helm" / "maskweave"
GOLDEN = Path(__file__).parents[3] / "helm" / "golden"


def scaler(**changes: object) -> Autoscaler:
    settings = {"targets": {WORK_WAITING: 1.0}, "fewest": 1, "most": 100, **changes}
    return Autoscaler(Scaling(**settings))  # type: ignore[arg-type]


def decide(autoscaler: Autoscaler, time: float, replicas: int, work: float) -> int:
    return autoscaler.decide(time, replicas, {WORK_WAITING: work})


def test_twice_the_work_is_twice_the_replicas() -> None:
    assert decide(scaler(), 0, 4, 8.0) == 8


@pytest.mark.parametrize("work", [3.61, 4.0, 4.39])
def test_a_tenth_off_changes_nothing(work: float) -> None:
    assert decide(scaler(), 0, 4, work) == 4


def test_no_more_is_added_in_a_period_than_allowed() -> None:
    autoscaler = scaler()
    # Of percent and pods whichever adds more: 100 % of 4.
    assert decide(autoscaler, 0, 4, 100.0) == 8
    # In the same 15 seconds nothing more: 4 were there when it began.
    assert decide(autoscaler, 10, 8, 100.0) == 8
    assert decide(autoscaler, 15, 8, 100.0) == 16
    assert decide(scaler(), 0, 1, 100.0) == 3  # two pods are more than 100 % of one


def test_nothing_is_taken_away_before_the_load_was_low_for_long() -> None:
    autoscaler = scaler(down_window=300.0)
    assert decide(autoscaler, 0, 10, 10.0) == 10
    assert all(decide(autoscaler, time, 10, 0.0) == 10 for time in range(15, 300, 15))
    assert decide(autoscaler, 300, 10, 0.0) == 9
    assert decide(autoscaler, 315, 9, 0.0) == 9
    assert decide(autoscaler, 360, 9, 0.0) == 8


def test_of_several_metrics_the_highest_wish_counts() -> None:
    autoscaler = scaler(targets={WORK_WAITING: 1.0, IN_PROGRESS: 2.0})
    assert autoscaler.decide(0, 4, {WORK_WAITING: 0.0, IN_PROGRESS: 12.0}) == 6


def test_a_window_before_adding_takes_the_lowest_wish() -> None:
    autoscaler = scaler(up_window=60.0)
    assert decide(autoscaler, 0, 4, 4.0) == 4
    assert decide(autoscaler, 30, 4, 20.0) == 4
    assert decide(autoscaler, 61, 4, 20.0) == 8


def test_bounds_hold() -> None:
    assert decide(scaler(most=5), 0, 4, 100.0) == 5
    assert decide(scaler(fewest=3, down_window=0.0), 0, 4, 0.0) == 3


def test_without_targets_nothing_scales() -> None:
    assert decide(scaler(targets={}), 0, 4, 100.0) == 4


def test_the_defaults_are_the_charts(tmp_path: Path) -> None:
    on = tmp_path / "on.yaml"
    on.write_text("gateway: {autoscaling: {type: keda}}\n")
    assert from_values([CHART / "values.yaml", on]).scaling == Scaling()
    assert from_values([on]).scaling == Scaling()


@pytest.mark.parametrize("scenario", ["hpa", "keda", "everything"])
def test_values_and_what_the_chart_renders_of_them_say_the_same(scenario: str) -> None:
    values = from_values([CHART / "values.yaml", CHART / "ci" / f"{scenario}-values.yaml"]).scaling
    rendered = from_manifests(GOLDEN / f"{scenario}.yaml").scaling
    for name in ("targets", "fewest", "most", "up_window", "up_percent", "up_pods", "up_period"):
        assert getattr(rendered, name) == pytest.approx(getattr(values, name)), name
    for name in ("down_window", "down_pods", "down_period", "ready", "sync"):
        assert getattr(rendered, name) == getattr(values, name), name
    assert values.targets


def test_cpu_is_a_target_in_cores() -> None:
    scaling = from_manifests(GOLDEN / "hpa.yaml").scaling
    requests = yaml.safe_load((CHART / "values.yaml").read_text())["gateway"]["resources"]["requests"]
    assert scaling.targets[CPU] == pytest.approx(0.8 * float(requests["cpu"]))


def test_a_fleet_that_nothing_scales_has_its_replicas() -> None:
    scaling = from_values([CHART / "values.yaml"]).scaling
    assert (scaling.targets, scaling.fewest, scaling.most) == ({}, 2, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gateway: [1]", r"gateway: got \[1\]; allowed: a mapping"),
        ("gateway: {autoscaling: {type: hpa, minReplicas: -1}}", r"gateway.autoscaling.minReplicas: got -1"),
        ("gateway: {autoscaling: {scaleUp: {pods: many}}}", r"gateway.autoscaling.scaleUp.pods: got 'many'"),
        ("- 1", "got list; allowed: values of the chart"),
        ("a: [", "is not YAML"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        from_values([file])


def test_manifests_without_a_scaler_and_with_unknown_metrics_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text("kind: Deployment\n")
    with pytest.raises(SettingsError, match="neither a HorizontalPodAutoscaler nor a ScaledObject"):
        from_manifests(file)
    file.write_text("kind: ScaledObject\nspec: {triggers: [{metadata: {query: up, threshold: '1'}}]}\n")
    with pytest.raises(SettingsError, match=r"triggers.0: got 'up'; simulated"):
        from_manifests(file)
