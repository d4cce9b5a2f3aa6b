"""An autoscaler's settings from where they are kept: values of the chart, or manifests that it rendered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from maskweave_bench.capacity.autoscaler import CPU, IN_PROGRESS, WORK_WAITING, Scaling

_METRICS = (WORK_WAITING, IN_PROGRESS)
_SUFFIXES = {"m": 1e-3, "": 1.0, "k": 1e3}


class SettingsError(ValueError):
    """Values or manifests do not say how gateways are scaled."""


@dataclass(frozen=True)
class Settings:
    """How gateways are scaled.

    Attributes:
        scaling: The autoscaler.
        concurrency: Requests in progress at most in each; None for the gateway's own choice.
        origin: Where it is from, for the report.
    """

    scaling: Scaling
    concurrency: int | None
    origin: str


def from_values(paths: Sequence[Path], defaults: Scaling | None = None) -> Settings:
    """From values files, a later one over an earlier; what they do not say is the chart's default.

    Raises:
        SettingsError: One cannot be read or has something else than what belongs there.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        for document in _documents(path):
            if not isinstance(document, dict):
                raise SettingsError(f"{path}: got {type(document).__name__}; allowed: values of the chart")
            merged = _merged(merged, document)
    scaling = defaults or Scaling()
    gateway = _Section(merged, "").section("gateway")
    auto, settings, probes = (gateway.section(name) for name in ("autoscaling", "settings", "probes"))
    up, down = auto.section("scaleUp"), auto.section("scaleDown")
    targets = {
        WORK_WAITING: auto.number("workWaitingSeconds", scaling.targets.get(WORK_WAITING, 0.0)),
        IN_PROGRESS: auto.number("imagesInProgress", scaling.targets.get(IN_PROGRESS, 0.0)),
    }
    cores = _quantity(gateway.section("resources").section("requests").value("cpu", "1"))
    targets[CPU] = auto.number("cpuUtilization", 0.0) / 100 * cores
    fixed = auto.value("type", "none") == "none"
    replicas = int(gateway.number("replicas", 2))
    monitor = _Section(merged, "").section("monitoring").section("serviceMonitor")
    found = Scaling(
        targets={} if fixed else {name: target for name, target in targets.items() if target > 0},
        fewest=replicas if fixed else int(auto.number("minReplicas", scaling.fewest)),
        most=replicas if fixed else int(auto.number("maxReplicas", scaling.most)),
        up_window=up.number("stabilizationSeconds", scaling.up_window),
        up_percent=up.number("percent", scaling.up_percent),
        up_pods=int(up.number("pods", scaling.up_pods)),
        up_period=up.number("periodSeconds", scaling.up_period),
        down_window=down.number("stabilizationSeconds", scaling.down_window),
        down_pods=int(down.number("pods", scaling.down_pods)),
        down_period=down.number("periodSeconds", scaling.down_period),
        scrape=monitor.number("intervalSeconds", scaling.scrape),
        start=auto.number("modelLoadSeconds", scaling.start),
        ready=probes.number("readinessPeriodSeconds", scaling.ready),
        discovery=settings.number("max_connection_age_seconds", scaling.discovery),
        stop=settings.number("shutdown_delay_seconds", 5) + settings.number("shutdown_grace_seconds", 10),
    )
    limit = int(settings.number("concurrency_limit", 0))
    return Settings(found, limit or None, f"chart values {', '.join(path.name for path in paths)}")


def from_manifests(path: Path, defaults: Scaling | None = None) -> Settings:
    """From a HorizontalPodAutoscaler or a ScaledObject among rendered manifests.

    Of several, the one whose Deployment is a gateway. How long a replica takes to start is in no manifest.

    Raises:
        SettingsError: There is none, or it scales on a metric that is not simulated.
    """
    scaling = defaults or Scaling()
    documents = [each for each in _documents(path) if isinstance(each, dict)]
    scalers = [each for each in documents if each.get("kind") in {"HorizontalPodAutoscaler", "ScaledObject"}]
    chosen = [
        each
        for each in scalers
        if "gateway"
        in str(
            _Section(each, "").section("metadata").section("labels").value("app.kubernetes.io/component", "")
        )
    ] or scalers
    if not chosen:
        raise SettingsError(f"{path}: has neither a HorizontalPodAutoscaler nor a ScaledObject")
    scaler = _Section(chosen[0], "")
    spec = scaler.section("spec")
    name = str(spec.section("scaleTargetRef").value("name", ""))
    container = _container(documents, name)
    if chosen[0]["kind"] == "HorizontalPodAutoscaler":
        targets = _hpa_targets(path, spec, container)
        fewest, most = spec.number("minReplicas", 1), spec.number("maxReplicas", scaling.most)
        behavior = spec.section("behavior")
    else:
        targets = _keda_targets(path, spec)
        fewest, most = spec.number("minReplicaCount", 0), spec.number("maxReplicaCount", 100)
        behavior = spec.section("advanced").section("horizontalPodAutoscalerConfig").section("behavior")
        # Its pollingInterval is that of zero replicas and one; beyond, the HorizontalPodAutoscaler asks.
    up, down = behavior.section("scaleUp"), behavior.section("scaleDown")
    percent, pods, period = _policies(up, scaling.up_percent, scaling.up_pods, scaling.up_period)
    _, down_pods, down_period = _policies(down, 0, scaling.down_pods, scaling.down_period)
    ready = container.section("readinessProbe").number("periodSeconds", scaling.ready)
    return Settings(
        replace(
            scaling,
            targets=targets,
            fewest=int(fewest),
            most=int(most),
            up_window=up.number("stabilizationWindowSeconds", 0),
            up_percent=percent,
            up_pods=int(pods),
            up_period=period,
            down_window=down.number("stabilizationWindowSeconds", 300),
            down_pods=int(down_pods),
            down_period=down_period,
            ready=ready,
        ),
        None,
        f"manifests {path.name}, {chosen[0]['kind']} {scaler.section('metadata').value('name', '')}",
    )


def _hpa_targets(path: Path, spec: _Section, container: _Section) -> dict[str, float]:
    targets = {}
    for number, metric in enumerate(spec.sections("metrics")):
        kind = str(metric.value("type", ""))
        inner = metric.section({"Pods": "pods", "External": "external", "Resource": "resource"}.get(kind, ""))
        target = inner.section("target")
        if kind == "Resource" and inner.value("name", "") == "cpu":
            cores = _quantity(container.section("resources").section("requests").value("cpu", "1"))
            targets[CPU] = target.number("averageUtilization", 80) / 100 * cores
        elif (name := str(inner.section("metric").value("name", ""))) in _METRICS:
            targets[name] = _quantity(target.value("averageValue", "0"))
        else:
            raise SettingsError(
                f"{path}: metrics.{number}: got {kind} {name}; simulated: {', '.join(_METRICS)} and cpu"
            )
    return targets


def _keda_targets(path: Path, spec: _Section) -> dict[str, float]:
    targets = {}
    for number, trigger in enumerate(spec.sections("triggers")):
        query = str(trigger.section("metadata").value("query", ""))
        name = next((name for name in _METRICS if name in query), None)
        if name is None:
            raise SettingsError(f"{path}: triggers.{number}: got {query!r}; simulated: {', '.join(_METRICS)}")
        targets[name] = _quantity(trigger.section("metadata").value("threshold", "0"))
    return targets


def _policies(rules: _Section, percent: float, pods: float, period: float) -> tuple[float, float, float]:
    for policy in rules.sections("policies"):
        value = policy.number("value", 0)
        period = policy.number("periodSeconds", period)
        if policy.value("type", "") == "Percent":
            percent = value
        else:
            pods = value
    return percent, pods, period


def _container(documents: Sequence[Mapping[str, Any]], name: str) -> _Section:
    for each in documents:
        section = _Section(each, "")
        if each.get("kind") == "Deployment" and section.section("metadata").value("name", "") == name:
            containers = section.section("spec").section("template").section("spec").sections("containers")
            return containers[0] if containers else _Section({}, "")
    return _Section({}, "")


class _Section:
    """A mapping of a file, with its place in it for messages."""

    def __init__(self, values: Any, place: str) -> None:
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise SettingsError(f"{place.rstrip('.')}: got {values!r}; allowed: a mapping")
        self._values = values
        self._place = place

    def section(self, name: str) -> _Section:
        return _Section(self._values.get(name), f"{self._place}{name}.")

    def sections(self, name: str) -> list[_Section]:
        values = self._values.get(name) or []
        if not isinstance(values, list):
            raise SettingsError(f"{self._place}{name}: got {values!r}; allowed: a list")
        return [_Section(each, f"{self._place}{name}.{number}.") for number, each in enumerate(values)]

    def value(self, name: str, default: object) -> object:
        value = self._values.get(name)
        return default if value is None else value

    def number(self, name: str, default: float) -> float:
        value = self.value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise SettingsError(f"{self._place}{name}: got {value!r}; allowed: a number of at least 0")
        return float(value)


def _quantity(value: object) -> float:
    """Kubernetes' quantities of CPU and metrics, for example `1500m`."""
    found = re.fullmatch(r"([0-9.]+)([mk]?)", str(value))
    try:
        return float(found[1]) * _SUFFIXES[found[2]] if found else float("nan")
    except ValueError:
        return float("nan")


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """As Helm puts values over one another."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = (
            _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _documents(path: Path) -> list[Any]:
    try:
        return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: is not YAML: {error}") from error
