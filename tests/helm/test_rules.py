"""Every alert fires when it should, with words that help, and not a moment before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import MaskweaveError
from service.core.metric_table import latency_buckets
from service.rpc.status import STATUS_CODES
from tests.support.chart import GOLDEN, SCENARIOS, rendered, rule_groups
from tests.support.promtool import promtool, tried, tried_rules, write_rules, write_test

SCENARIO = "fleet-mig"
"""It has every alert: TLS, Triton, GPUs, autoscalers and no canary."""

# By what is committed, which is what they render to: whoever collects the tests need not render anything.
WITH_RULES = [
    name for name in SCENARIOS if "\nkind: PrometheusRule\n" in (GOLDEN / f"{name}.yaml").read_text()
]

G = 'namespace="faces",job="rel-maskweave",pod="g-1"'
T = 'namespace="faces",job="rel-maskweave-triton",pod="rel-maskweave-triton-h100-1"'
RPC = 'grpc_type="unary",grpc_service="maskweave.v1.SynthesisService",grpc_method="Synthesize"'
POD = {"namespace": "faces", "job": "rel-maskweave", "pod": "g-1"}


@dataclass(frozen=True)
class Case:
    """A state of the world, and whether an alert fires in it.

    Attributes:
        alert: Its name.
        name: What the state is.
        series: Series with their values, in promtool's notation, a value for each step.
        at: When it is looked at.
        labels: Of the alert that fires; None when none does.
        description: What it then says.
    """

    alert: str
    name: str
    series: dict[str, str]
    at: str
    labels: dict[str, str] | None = None
    description: str = ""

    @property
    def step(self) -> str:
        """Time between two values and two evaluations: coarser where hours or days are played through."""
        minutes = int(self.at.removesuffix("m"))
        return "20m" if minutes > 1000 else "2m" if minutes >= 400 else "1m"


def failures(a_step: str, reason: str = "INTERNAL", steps: int = 300) -> dict[str, str]:
    """1000 requests a step, of which so many fail."""
    return {
        f'maskweave_failures_total{{{G},reason="{reason}"}}': f"0+{a_step}x{steps}",
        f'grpc_server_handled_total{{{G},{RPC},grpc_code="OK"}}': f"0+1000x{steps}",
    }


def latencies(slow: int, le: str = "0.5") -> dict[str, str]:
    """1000 answers a step, of which so many take longer than half a second."""
    series = f'{G},{RPC},grpc_code="OK"'
    return {
        f'grpc_server_handling_seconds_bucket{{{series},le="{le}"}}': f"0+{1000 - slow}x300",
        f"grpc_server_handling_seconds_count{{{series}}}": "0+1000x300",
    }


BURNT = {"maskweave": "rel-maskweave"}
HPA = 'namespace="faces",horizontalpodautoscaler="rel-maskweave"'
CERTIFICATE = f'maskweave_certificate_expiry_seconds{{{G},file="/etc/maskweave/tls/tls.crt"}}'
SHOWN = {**POD, "file": "/etc/maskweave/tls/tls.crt"}
DAY = 86400

CASES = [
    Case("MaskweaveAvailabilityBudgetBurnsFast", "two percent fail for an hour", failures("20"), "65m",
         BURNT, "2% of requests fail through us; the objective allows 0.001 of 1."),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "shedding counts", failures("20", "OVERLOADED"), "65m",
         BURNT, "2% of requests fail through us; the objective allows 0.001 of 1."),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "0.7 percent fail for six hours", failures("7"), "400m",
         BURNT, "0.7% of requests fail through us; the objective allows 0.001 of 1."),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "0.5 percent fail", failures("5"), "400m"),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "bad requests are the callers'", failures("500", "INVALID_FIELD"), "65m"),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "quotas are the callers'", failures("500", "QUOTA_EXCEEDED"), "65m"),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "it is over since half an hour", {
        f'maskweave_failures_total{{{G},reason="INTERNAL"}}': "0+20x60 1200x60",
        f'grpc_server_handled_total{{{G},{RPC},grpc_code="OK"}}': "0+1000x120"}, "95m"),
    Case("MaskweaveAvailabilityBudgetBurnsFast", "nobody asks", {f"up{{{G}}}": "1x100"}, "65m"),
    Case("MaskweaveAvailabilityBudgetBurnsSlowly", "0.4 percent fail for a day", failures("4"), "1500m",
         BURNT, "0.4% of requests fail through us; the objective allows 0.001 of 1."),
    Case("MaskweaveAvailabilityBudgetBurnsSlowly", "0.2 percent fail for three days", failures("2"), "4400m",
         BURNT, "0.2% of requests fail through us; the objective allows 0.001 of 1."),
    Case("MaskweaveAvailabilityBudgetBurnsSlowly", "within the objective", failures("0.9"), "4400m"),
    Case("MaskweaveLatencyBudgetBurnsFast", "a fifth is slow for an hour", latencies(200), "65m",
         BURNT, "20% of requests take longer than 0.5 s; the objective allows 0.01 of 1."),
    Case("MaskweaveLatencyBudgetBurnsFast", "calls that ran out of time are slow", {
        f'grpc_server_handling_seconds_count{{{G},{RPC},grpc_code="DeadlineExceeded"}}': "0+300x100",
        **latencies(0)}, "65m",
         BURNT, "23.08% of requests take longer than 0.5 s; the objective allows 0.01 of 1."),
    Case("MaskweaveLatencyBudgetBurnsFast", "two percent are slow", latencies(20), "400m"),
    Case("MaskweaveLatencyBudgetBurnsFast", "refusals are not slow", {
        f'grpc_server_handling_seconds_count{{{G},{RPC},grpc_code="InvalidArgument"}}': "0+900x100",
        **latencies(0)}, "65m"),
    Case("MaskweaveLatencyBudgetBurnsSlowly", "four percent are slow for a day", latencies(40), "1500m",
         BURNT, "4% of requests take longer than 0.5 s; the objective allows 0.01 of 1."),
    Case("MaskweaveLatencyBudgetBurnsSlowly", "within the objective", latencies(9), "4400m"),
    Case("MaskweaveNoGateway", "none answers", {f"up{{{G}}}": "1 0x10"}, "6m",
         {},
         "Prometheus reaches no gateway of this release: nobody is served, or nothing is scraped."),
    Case("MaskweaveNoGateway", "none is known", {}, "6m", {},
         "Prometheus reaches no gateway of this release: nobody is served, or nothing is scraped."),
    Case("MaskweaveNoGateway", "one of two answers", {
        f"up{{{G}}}": "0x10", f"up{{{G.replace('g-1', 'g-2')}}}": "1x10"}, "6m"),
    Case("MaskweaveEngineDown", "for three minutes", {
        f"maskweave_engine_ready{{{G}}}": "1x2 0x10", f"maskweave_build_info{{{G}}}": "1x15"}, "6m",
         POD, "The engine of g-1 cannot answer: the gateway refuses calls and is out of the Services."),
    Case("MaskweaveEngineDown", "for a minute", {
        f"maskweave_engine_ready{{{G}}}": "1x2 0 1x10", f"maskweave_build_info{{{G}}}": "1x15"}, "6m"),
    Case("MaskweaveEngineDown", "it still loads its models", {f"maskweave_engine_ready{{{G}}}": "0x10"}, "6m"),
    Case("MaskweaveQueueSaturated", "nine tenths full", {f"maskweave_queue_depth{{{G}}}": "230x10"}, "6m",
         POD, "230 of 256 places in the queue of g-1 are taken; beyond them requests are refused as OVERLOADED."),
    Case("MaskweaveQueueSaturated", "half full", {f"maskweave_queue_depth{{{G}}}": "128x10"}, "6m"),
    Case("MaskweaveWorkPilesUp", "twenty seconds wait", {f"maskweave_work_waiting_seconds{{{G}}}": "20x10"}, "6m",
         POD, "20s of work wait in g-1, more than half of the default deadline of 30 s."),
    Case("MaskweaveWorkPilesUp", "a second waits", {f"maskweave_work_waiting_seconds{{{G}}}": "1x10"}, "6m"),
    Case("MaskweaveReloadRefused", "once", {
        f'maskweave_reloads_total{{{G},what="keys",result="refused"}}': "0x5 1x10"}, "10m",
         {**POD, "what": "keys", "result": "refused"},
         "g-1 could not use the new keys and goes on with those from before."),
    Case("MaskweaveReloadRefused", "the first of a process", {
        f'maskweave_reloads_total{{{G},what="certificate",result="refused"}}': "_x5 1x10"}, "10m",
         {**POD, "what": "certificate", "result": "refused"},
         "g-1 could not use the new certificate and goes on with those from before."),
    Case("MaskweaveReloadRefused", "taken", {
        f'maskweave_reloads_total{{{G},what="keys",result="ok"}}': "0x5 1x10"}, "10m"),
    Case("MaskweaveReloadRefused", "two hours ago", {
        f'maskweave_reloads_total{{{G},what="keys",result="refused"}}': "0x5 1x200"}, "130m"),
    Case("MaskweaveCertificateExpires", "in ten days", {CERTIFICATE: f"{10 * DAY + 1200}x30"}, "20m",
         SHOWN, "The certificate /etc/maskweave/tls/tls.crt of g-1 has 10d 0h 0m 0s left."),
    Case("MaskweaveCertificateExpires", "in fifteen days", {CERTIFICATE: f"{15 * DAY}x30"}, "20m"),
    Case("MaskweaveCertificateUnusable", "in a day", {CERTIFICATE: f"{DAY + 600}x30"}, "10m",
         SHOWN, "The certificate /etc/maskweave/tls/tls.crt of g-1 has 1d 0h 0m 0s left; a time long gone "
         "means that it is refused as it is."),
    Case("MaskweaveCertificateUnusable", "refused as it is", {CERTIFICATE: "0x30"}, "10m",
         SHOWN, "The certificate /etc/maskweave/tls/tls.crt of g-1 has -10m 0s left; a time long gone "
         "means that it is refused as it is."),
    Case("MaskweaveCertificateUnusable", "in ten days", {CERTIFICATE: f"{10 * DAY}x30"}, "10m"),
    Case("MaskweaveModelVersionsDiffer", "two for long", {
        f'maskweave_model_info{{{G},model="faces64",version="1"}}': "1x60",
        f'maskweave_model_info{{{G.replace("g-1", "g-2")},model="faces64",version="2"}}': "1x60"}, "40m",
         {"model": "faces64"},
         "faces64 is served in 2 versions, and no canary is meant to: one seed gives different images."),
    Case("MaskweaveModelVersionsDiffer", "one on two replicas", {
        f'maskweave_model_info{{{G},model="faces64",version="1"}}': "1x60",
        f'maskweave_model_info{{{G.replace("g-1", "g-2")},model="faces64",version="1"}}': "1x60"}, "40m"),
    Case("MaskweaveTritonDown", "none answers", {f"up{{{T}}}": "1 0x10"}, "6m",
         {}, "Prometheus reaches no Triton of this release."),
    Case("MaskweaveTritonDown", "one answers", {f"up{{{T}}}": "1x10"}, "6m"),
    Case("MaskweaveNoGpu", "no node has one", {
        'kube_pod_status_unschedulable{namespace="faces",pod="rel-maskweave-triton-h100-1"}': "1x20"}, "15m",
         {"namespace": "faces", "pod": "rel-maskweave-triton-h100-1"},
         "rel-maskweave-triton-h100-1 waits for a node with the GPU that it asks for, or runs and sees none."),
    Case("MaskweaveNoGpu", "it runs and sees none", {f"up{{{T}}}": "1x20"}, "15m",
         {"namespace": "faces", "job": "rel-maskweave-triton", "pod": "rel-maskweave-triton-h100-1"},
         "rel-maskweave-triton-h100-1 waits for a node with the GPU that it asks for, or runs and sees none."),
    Case("MaskweaveNoGpu", "it sees one", {
        f"up{{{T}}}": "1x20", f'nv_gpu_memory_total_bytes{{{T},gpu_uuid="GPU-1"}}': "8e10x20",
        'kube_pod_status_unschedulable{namespace="faces",pod="studio-1"}': "1x20"}, "15m"),
    Case("MaskweaveAutoscalerAtMaximum", "for long", {
        f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}": "12x30",
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "12x30"}, "20m",
         {"namespace": "faces", "horizontalpodautoscaler": "rel-maskweave"},
         "rel-maskweave wants as many replicas as it may have, 12; more load will be refused."),
    Case("MaskweaveAutoscalerAtMaximum", "one less", {
        f"kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}}": "11x30",
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "12x30"}, "20m"),
    Case("MaskweaveAutoscalerBlind", "it gets no metrics", {
        f'kube_horizontalpodautoscaler_status_condition{{{HPA},condition="ScalingActive",status="false"}}': "1x30"}, "15m",
         {"namespace": "faces", "horizontalpodautoscaler": "rel-maskweave", "condition": "ScalingActive",
          "status": "false"},
         "rel-maskweave cannot read what it scales on; with KEDA the fallback holds."),
    Case("MaskweaveAutoscalerBlind", "it gets them", {
        f'kube_horizontalpodautoscaler_status_condition{{{HPA},condition="ScalingActive",status="false"}}': "0x30"}, "15m"),
]  # fmt: skip


def alerts() -> dict[str, dict[str, Any]]:
    """The rules that alert, by name."""
    groups = rule_groups(rendered(SCENARIO))
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def file_of(case: Case, folder: Path) -> Path:
    """The test of a case, as promtool reads it."""
    rule = alerts()[case.alert]
    expected = []
    if case.labels is not None:
        told = {**rule["annotations"], "description": case.description}
        expected = [{"exp_labels": {**case.labels, **rule["labels"]}, "exp_annotations": told}]
    test = {
        "interval": case.step,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"alertname": case.alert, "eval_time": case.at, "exp_alerts": expected}],
    }
    groups = [group for group in rule_groups(rendered(SCENARIO)) if rule in group["rules"]]
    return write_test(folder, groups, test, case.step)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is wrong of each case; all are tried by one promtool, as to start one takes longer than a case."""
    files = [file_of(case, tmp_path_factory.mktemp("case")) for case in CASES]
    found = tried(files)
    return [found[file] for file in files]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{each.alert}-{each.name}" for each in CASES])
def test_alert(number: int, wrong: list[str]) -> None:
    assert not wrong[number]


def test_a_case_that_does_not_hold_is_noticed(tmp_path: Path) -> None:
    """And those beside it are not to blame."""
    firing = next(case for case in CASES if case.labels is not None)
    silent = replace(firing, labels=None)
    files: list[Path] = []
    for case in (firing, silent):
        (tmp_path / str(len(files))).mkdir()
        files.append(file_of(case, tmp_path / str(len(files))))
    found = tried(files)
    assert not found[files[0]]
    assert firing.alert in found[files[1]]


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert {case.alert for case in CASES if case.labels is not None} == alerts().keys()
    assert {case.alert for case in CASES if case.labels is None} == alerts().keys()


def test_no_scenario_has_an_alert_without_cases() -> None:
    named = {
        rule["alert"]
        for scenario in SCENARIOS
        for group in rule_groups(rendered(scenario))
        for rule in group["rules"]
        if "alert" in rule
    }
    assert named == alerts().keys()


@pytest.mark.parametrize("scenario", WITH_RULES)
def test_promtool_takes_the_rules(scenario: str, tmp_path: Path) -> None:
    done = promtool("check", "rules", write_rules(tmp_path / "rules.yaml", rule_groups(rendered(scenario))))
    assert done.returncode == 0, done.stdout


def test_scaled_to_zero_no_triton_is_no_alarm_until_somebody_asks(tmp_path: Path) -> None:
    for in_flight, fires in (("0x10", False), ("1x10", True)):
        labels = {"severity": "critical"}
        rule = next(
            rule
            for group in rule_groups(rendered("keda"))
            for rule in group["rules"]
            if rule.get("alert") == "MaskweaveTritonDown"
        )
        expected = [{"exp_labels": labels, "exp_annotations": rule["annotations"]}] if fires else []
        test = {
            "interval": "1m",
            "input_series": [{"series": f"maskweave_requests_in_flight{{{G}}}", "values": in_flight}],
            "alert_rule_test": [
                {"alertname": "MaskweaveTritonDown", "eval_time": "6m", "exp_alerts": expected}
            ],
        }
        assert not tried_rules(tmp_path, rule_groups(rendered("keda")), test)


def test_reasons_that_count_as_ours_are_reasons_of_the_service() -> None:
    expression = next(
        rule["expr"]
        for group in rule_groups(rendered(SCENARIO))
        for rule in group["rules"]
        if rule.get("record") == "maskweave:failures:ratio_rate5m"
    )
    counted = set(expression.split('reason=~"')[1].split('"')[0].split("|"))
    known = {each.reason for each in (*STATUS_CODES, MaskweaveError) if issubclass(each, MaskweaveError)}
    assert counted <= known
    callers = {
        "INVALID_FIELD", "RESOURCE_NOT_FOUND", "DEADLINE_EXCEEDED", "SESSION_IDLE", "UNAUTHENTICATED",
        "PERMISSION_DENIED", "QUOTA_EXCEEDED", "MESSAGE_TOO_LARGE",
    }  # fmt: skip
    assert known - counted == callers, "a new reason: is it ours or the callers'?"


def test_the_latency_target_is_a_bucket() -> None:
    assert 0.5 in latency_buckets()
    assert 1.0 in latency_buckets()


def test_the_target_finds_its_bucket_however_it_is_written(tmp_path: Path) -> None:
    """1 is `1.0` in Python's exposition, and `1` in others."""
    for bound in ("1.0", "1"):
        series = latencies(100, bound)
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": 'round(maskweave:slow:ratio_rate5m{maskweave="rel-maskweave"}, 0.001)',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": '{maskweave="rel-maskweave"}', "value": 0.1}],
                }
            ],
        }
        assert not tried_rules(tmp_path, rule_groups(rendered("everything")), test)
