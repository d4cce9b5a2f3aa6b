"""What the manifests must have, whatever the scenario."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.chart import (
    SCENARIOS,
    Manifest,
    manifests,
    named,
    of_kind,
    pod_templates,
    rendered,
    sets,
    template,
)


def containers(spec: Manifest) -> Iterator[Manifest]:
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def with_values(values: dict[str, object]) -> list[Manifest]:
    done = template(*sets({"gateway.allowPlaintext": True, **values}))
    assert done.returncode == 0, done.stderr
    return manifests(done.stdout)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pods_are_restricted(scenario: str) -> None:
    """As the Pod Security Standard `restricted` asks, with a root that cannot be written besides."""
    for name, pod in pod_templates(rendered(scenario)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] >= 1000, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        for container in containers(spec):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"limits", "requests"} <= container["resources"].keys(), name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_pod_has_a_token(scenario: str) -> None:
    objects = rendered(scenario)
    assert all(each["automountServiceAccountToken"] is False for each in of_kind(objects, "ServiceAccount"))
    assert all(pod["spec"]["automountServiceAccountToken"] is False for _, pod in pod_templates(objects))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_secrets_are_named_and_never_made(scenario: str) -> None:
    assert not of_kind(rendered(scenario), "Secret")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_replicas_never_stand_beside_an_autoscaler(scenario: str) -> None:
    objects = rendered(scenario)
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    }
    for deployment in of_kind(objects, "Deployment"):
        name = deployment["metadata"]["name"]
        assert ("replicas" in deployment["spec"]) == (name not in scaled), name
    assert scaled <= {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}
    names = [each["metadata"]["name"] for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_scale_down_window_is_longer_than_a_model_load(scenario: str) -> None:
    for each in of_kind(rendered(scenario), "HorizontalPodAutoscaler", "ScaledObject"):
        behavior = (
            each["spec"].get("behavior")
            or (each["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
        )
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] > 60


def test_keda_takes_no_data_for_a_failure_and_divides_by_replicas() -> None:
    for scenario in ("keda", "fleet-mig"):
        for each in of_kind(rendered(scenario), "ScaledObject"):
            assert each["spec"]["fallback"]["replicas"] >= 1
            for trigger in each["spec"]["triggers"]:
                assert trigger["metadata"]["ignoreNullValues"] == "false"
                assert trigger["metricType"] == "AverageValue"


def test_pools_share_the_load() -> None:
    queries = {
        each["metadata"]["name"]: each["spec"]["triggers"][0]["metadata"]["query"]
        for each in of_kind(rendered("fleet-mig"), "ScaledObject")
    }
    assert queries["rel-maskweave-triton-h100"].endswith(" * 0.7")
    assert queries["rel-maskweave-triton-a100-mig"].endswith(" * 0.3")


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_selectors_find_the_pods_that_they_mean(scenario: str) -> None:
    objects = rendered(scenario)
    pods = {name: pod["metadata"]["labels"] for name, pod in pod_templates(objects)}
    for deployment in of_kind(objects, "Deployment"):
        found = [
            name
            for name, labels in pods.items()
            if selects(deployment["spec"]["selector"]["matchLabels"], labels)
        ]
        assert found == [f"Deployment {deployment['metadata']['name']}"]
    for kind, way in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels")),
                      ("NetworkPolicy", ("podSelector", "matchLabels"))):  # fmt: skip
        for each in of_kind(objects, kind):
            selector: Any = each["spec"]
            for name in way:
                selector = selector[name]
            found_labels = [labels for labels in pods.values() if selects(selector, labels)]
            assert found_labels, f"{kind} {each['metadata']['name']} selects nothing"
            assert len({labels["app.kubernetes.io/component"] for labels in found_labels}) == 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ports_that_are_named_are_there(scenario: str) -> None:
    objects = rendered(scenario)
    for _, pod in pod_templates(objects):
        for container in containers(pod["spec"]):
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {})
                for way in ("httpGet", "tcpSocket"):
                    assert asked.get(way, {}).get("port") in ports | {None}
    for service in of_kind(objects, "Service"):
        pods = [pod for _, pod in pod_templates(objects)
                if selects(service["spec"]["selector"], pod["metadata"]["labels"])]  # fmt: skip
        for port in service["spec"]["ports"]:
            for pod in pods:
                names = {each["name"] for part in containers(pod["spec"]) for each in part.get("ports", ())}
                assert port["targetPort"] in names


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_volumes_that_are_mounted_are_there(scenario: str) -> None:
    for name, pod in pod_templates(rendered(scenario)):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
        mounted = {
            mount["name"] for part in containers(pod["spec"]) for mount in part.get("volumeMounts", ())
        }
        assert mounted == volumes, name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_pod_has_time_for_the_whole_shutdown(scenario: str) -> None:
    for name, pod in pod_templates(rendered(scenario)):
        for container in containers(pod["spec"]):
            if container["name"] != "gateway":
                continue
            settings = settings_of(rendered(scenario), pod)
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            delay, grace = settings["shutdown_delay_seconds"], settings["shutdown_grace_seconds"]
            assert pod["spec"]["terminationGracePeriodSeconds"] >= sleep + delay + grace + 5, name


def settings_of(objects: list[Manifest], pod: Manifest) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415

    (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == "config")
    config = named(objects, "ConfigMap", volume["configMap"]["name"])
    return tomllib.loads(config["data"]["maskweave.toml"])


def test_the_grace_grows_with_the_settings() -> None:
    objects = with_values(
        {"gateway.settings.shutdown_delay_seconds": 7.5, "gateway.settings.shutdown_grace_seconds": 31,
         "gateway.preStopSeconds": 4}
    )  # fmt: skip
    pod = named(objects, "Deployment", "rel-maskweave")["spec"]["template"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == math.ceil(4 + 7.5 + 31 + 5)


def test_a_change_of_settings_replaces_the_pods() -> None:
    def checksum(values: dict[str, object]) -> str:
        pod = named(with_values(values), "Deployment", "rel-maskweave")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) == checksum({"gateway.replicas": 5})
    assert checksum({}) != checksum({"gateway.settings.queue_capacity": 17})


def test_large_numbers_reach_the_settings_as_they_are() -> None:
    objects = with_values({"gateway.settings.max_message_bytes": 2147483647})
    pod = named(objects, "Deployment", "rel-maskweave")["spec"]["template"]
    assert settings_of(objects, pod)["max_message_bytes"] == 2147483647


def test_a_headless_service_has_the_pods_own_port() -> None:
    """Clients connect to pods, so that another port would reach nobody."""
    objects = with_values({"gateway.service.port": 443})
    ports = {
        each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in of_kind(objects, "Service")
    }
    assert ports == {"rel-maskweave": 443, "rel-maskweave-headless": 50051}
    (test,) = named(objects, "Pod", "rel-maskweave-test")["spec"]["containers"]
    assert test["env"][0]["value"].endswith(":50051")


def test_disruption_budgets_exist_above_one_replica_only() -> None:
    assert not of_kind(rendered("single-replica"), "PodDisruptionBudget")
    assert of_kind(rendered("embedded-minimal"), "PodDisruptionBudget")
    assert not of_kind(with_values({"gateway.replicas": 1}), "PodDisruptionBudget")
    one = {"gateway.autoscaling.type": "hpa", "gateway.autoscaling.minReplicas": 1}
    assert not of_kind(with_values(one), "PodDisruptionBudget")


def test_probes_go_over_http_where_the_kubelet_cannot_speak_grpc() -> None:
    """It has no TLS and no keys; liveness never asks for the engine."""
    for scenario, over in (
        ("embedded-minimal", "grpc"),
        ("mutual-tls", "httpGet"),
        ("triton-gpu", "httpGet"),
    ):
        (gateway,) = named(rendered(scenario), "Deployment", "rel-maskweave")["spec"]["template"]["spec"][
            "containers"
        ]
        assert over in gateway["readinessProbe"]
        assert over in gateway["startupProbe"]
        assert gateway["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_triton_is_reached_by_gateways_alone() -> None:
    policy = named(rendered("keda"), "NetworkPolicy", "rel-maskweave-triton")["spec"]
    grpc, metrics = policy["ingress"]
    (who,) = grpc["from"]
    assert who["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert [port["port"] for port in grpc["ports"]] == ["triton-grpc"]
    assert metrics["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    assert policy["egress"] == []


def test_metrics_are_for_monitoring_alone() -> None:
    callers, metrics = named(rendered("mutual-tls"), "NetworkPolicy", "rel-maskweave")["spec"]["ingress"]
    assert [port["port"] for port in callers["ports"]] == ["grpc"]
    assert callers["from"][0] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "studio"}}
    }
    assert [port["port"] for port in metrics["ports"]] == ["http"]


def test_a_sidecar_starts_before_the_gateway_and_stops_after_it() -> None:
    spec = named(rendered("sidecar"), "Deployment", "rel-maskweave")["spec"]["template"]["spec"]
    assert [each["name"] for each in spec["initContainers"]] == ["fetch-models", "triton"]
    assert spec["initContainers"][1]["restartPolicy"] == "Always"
    assert spec["initContainers"][1]["startupProbe"]


def test_gpus_are_asked_for_by_the_name_that_was_given() -> None:
    for pool, resource in (("h100", "nvidia.com/gpu"), ("a100-mig", "nvidia.com/mig-1g.10gb")):
        spec = named(rendered("fleet-mig"), "Deployment", f"rel-maskweave-triton-{pool}")["spec"]["template"][
            "spec"
        ]
        assert spec["containers"][0]["resources"]["limits"][resource] == 1
        assert spec["runtimeClassName"] == "nvidia"


def test_the_canary_has_pods_settings_and_a_triton_of_its_own() -> None:
    objects = rendered("everything")
    canary = named(objects, "Deployment", "rel-maskweave-canary")["spec"]["template"]
    assert canary["metadata"]["annotations"]["maskweave.dev/model-version"] == "2026-12-01"
    assert "rel-maskweave-triton-canary.faces.svc" in settings_of(objects, canary)["triton_url"]
    stable = named(objects, "Deployment", "rel-maskweave")["spec"]["template"]
    assert "rel-maskweave-triton.faces.svc" in settings_of(objects, stable)["triton_url"]
    assert stable["spec"]["containers"][0]["image"] != canary["spec"]["containers"][0]["image"]


def test_callers_reach_the_canary_by_header_and_by_weight() -> None:
    route = named(rendered("canary"), "GRPCRoute", "rel-maskweave")["spec"]
    by_header, by_weight = route["rules"]
    assert all(match["headers"] for match in by_header["matches"])
    assert [each["name"] for each in by_header["backendRefs"]] == ["rel-maskweave-canary"]
    weights = {each["name"]: each["weight"] for each in by_weight["backendRefs"]}
    assert weights == {"rel-maskweave": 95, "rel-maskweave-canary": 5}


def test_a_shared_service_finds_both_tracks_and_nobody_is_scraped_twice() -> None:
    objects = rendered("ingress")
    assert "maskweave.dev/track" not in named(objects, "Service", "rel-maskweave")["spec"]["selector"]
    assert (
        "maskweave.dev/job"
        not in named(objects, "Service", "rel-maskweave-canary-headless")["metadata"]["labels"]
    )


def test_images_come_from_the_sites_registry_by_digest() -> None:
    for name, pod in pod_templates(rendered("air-gapped")):
        for container in containers(pod["spec"]):
            assert container["image"].startswith("registry.example.com/mirror/maskweave-"), name
            assert "@sha256:" in container["image"], name
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_scaling_to_zero_keeps_gateways_reachable() -> None:
    """They are not ready without a Triton; the calls that they hold, or refuse, are what brings one up."""
    objects = rendered("keda")
    for service in ("rel-maskweave", "rel-maskweave-headless"):
        assert named(objects, "Service", service)["spec"]["publishNotReadyAddresses"] is True
    scaled = named(objects, "ScaledObject", "rel-maskweave-triton")["spec"]
    assert scaled["minReplicaCount"] == 0
    assert {each["metadata"]["activationThreshold"] for each in scaled["triggers"]} == {"0"}
    queries = {each["name"]: each["metadata"]["query"] for each in scaled["triggers"]}
    assert "maskweave_work_waiting_seconds" in queries["maskweave-work-waiting-seconds"]
    for metric in ("maskweave_failures_total", "maskweave_requests_in_flight"):
        assert metric in queries["maskweave-wanted"]
    settings = tomllib.loads(named(objects, "ConfigMap", "rel-maskweave")["data"]["maskweave.toml"])
    assert settings["hold_while_unreachable"] is True


def test_calls_are_held_for_a_triton_only_where_there_may_be_none_or_where_asked_for() -> None:
    def held(*arguments: object) -> object:
        done = template("--values", SCENARIOS["keda"], *arguments)
        assert done.returncode == 0, done.stderr
        text = named(manifests(done.stdout), "ConfigMap", "rel-maskweave")["data"]["maskweave.toml"]
        return tomllib.loads(text).get("hold_while_unreachable")

    never = {"triton.scaleToZero": False, "triton.autoscaling.minReplicas": 1}
    assert held(*sets(never)) is None
    assert held(*sets({**never, "gateway.settings.hold_while_unreachable": True})) is True
    assert held(*sets({"gateway.settings.hold_while_unreachable": False})) is False


def test_an_update_takes_no_gateway_away_before_its_successor_is_ready() -> None:
    for scenario in SCENARIOS:
        for deployment in of_kind(rendered(scenario), "Deployment"):
            update = deployment["spec"]["strategy"]["rollingUpdate"]
            assert (update["maxUnavailable"] == 0) == (update["maxSurge"] != 0)


def test_the_version_of_those_who_name_none_is_changed_by_one_value() -> None:
    """As docs/operations.md has it."""
    change = "gateway.settings.default_model_versions=faces64=1.0.0"
    done = template("--set", "gateway.allowPlaintext=true", "--set", change)
    assert done.returncode == 0, done.stderr
    text = named(manifests(done.stdout), "ConfigMap", "rel-maskweave")["data"]["maskweave.toml"]
    assert tomllib.loads(text)["default_model_versions"] == "faces64=1.0.0"
