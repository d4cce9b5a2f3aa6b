"""Wrong values are refused before anything is made, by name and with what is allowed."""

from __future__ import annotations

import pytest

from tests.support.chart import CHART, SCENARIOS, helm, sets, template

PLAIN = {"gateway.allowPlaintext": True}
TRITON = {**PLAIN, "mode": "triton"}
KEDA = {
    **PLAIN,
    "gateway.autoscaling.type": "keda",
    "gateway.autoscaling.keda.prometheusAddress": "http://prometheus:9090",
}
STORE = {
    "modelRepository.source": "objectStore",
    "modelRepository.objectStore": {
        "image": {"repository": "rclone/rclone", "tag": "1.71.0"},
        "args": ["copy", "models:faces", "/models"],
    },
}

# Values -> the whole of what helm says of them, but for where in the templates it was found.
REFUSED: list[tuple[dict[str, object], str]] = [
    # What the schema says.
    ({**PLAIN, "mode": "tritton"}, "at '/mode': value must be one of 'embedded', 'triton', 'sidecar'"),
    ({**PLAIN, "gateway.replica": 2}, "at '/gateway': additional properties 'replica' not allowed"),
    ({**PLAIN, "replicaCount": 2}, "at '': additional properties 'replicaCount' not allowed"),
    ({**PLAIN, "gateway.settings.max_running": 2}, "at '/gateway/settings': additional properties 'max_running' not allowed"),
    ({**PLAIN, "gateway.settings.engine": "triton"}, "at '/gateway/settings': additional properties 'engine' not allowed"),
    ({**PLAIN, "gateway.settings.queue_capacity": -1}, "at '/gateway/settings/queue_capacity': minimum: got -1, want 0"),
    ({**PLAIN, "gateway.settings.log_format": "xml"}, "at '/gateway/settings/log_format': value must be one of 'text', 'json'"),
    ({**PLAIN, "gateway.replicas": "two"}, "at '/gateway/replicas': got string, want integer"),
    ({**PLAIN, "gateway.image.digest": "latest"}, "at '/gateway/image/digest': 'latest' does not match pattern"),
    ({**PLAIN, "gateway.tolerations": [{"kee": "gpu"}]}, "at '/gateway/tolerations/0': additional properties 'kee' not allowed"),
    ({**PLAIN, "gateway.extraEnv": [{"name": "A", "vaule": "b"}]}, "at '/gateway/extraEnv/0': additional properties 'vaule' not allowed"),
    ({**PLAIN, "gateway.extraVolumes": [{"name": "a", "configmap": {}}]}, "additional properties 'configmap' not allowed"),
    ({**PLAIN, "gateway.resources.limit": {}}, "at '/gateway/resources': additional properties 'limit' not allowed"),
    ({**TRITON, "triton.gpu.resourceName": "gpu"}, "at '/triton/gpu/resourceName': 'gpu' does not match pattern"),
    ({**TRITON, "triton.pools": [{"overrides": {}}]}, "at '/triton/pools/0': missing property 'name'"),
    ({**TRITON, "triton.pools": [{"name": "a", "overrides": {"gpus": 1}}]}, "at '/triton/pools/0/overrides': additional properties 'gpus' not allowed"),
    ({**PLAIN, "canary.overrides.gatewey": {}}, "at '/canary/overrides': additional properties 'gatewey' not allowed"),
    ({**PLAIN, "canary.weight": 101}, "at '/canary/weight': maximum: got 101, want 100"),
    ({**PLAIN, "grpcRoute.parentRefs": [{"namespace": "x"}]}, "at '/grpcRoute/parentRefs/0': missing property 'name'"),
    ({**PLAIN, "networkPolicy.callers": [{"podSelectors": {}}]}, "additional properties 'podSelectors' not allowed"),
    ({**PLAIN, "monitoring.prometheusRule.availabilityObjective": 100}, "at '/monitoring/prometheusRule/availabilityObjective': exclusiveMaximum: got 100, want 100"),
    # What templates say.
    ({}, "gateway.tls.existingSecret: not set; allowed: the name of a Secret with tls.crt and tls.key, or gateway.allowPlaintext=true where something else encrypts"),
    ({**PLAIN, "gateway.tls.clientCertificates": True}, "gateway.tls.clientCertificates: needs gateway.tls.existingSecret, a Secret with tls.crt, tls.key and ca.crt"),
    ({**PLAIN, "gateway.settings.health_open": False}, "gateway.settings.health_open: false needs gateway.apiKeys.existingSecret, or no key would open it"),
    ({**PLAIN, "gateway.terminationGracePeriodSeconds": 19}, "gateway.terminationGracePeriodSeconds: got 19; allowed: at least 20 (preStopSeconds + shutdown_delay_seconds + shutdown_grace_seconds + 5), or 0 to compute it"),
    ({**PLAIN, "modelRepository.source": "pvc"}, "modelRepository.pvc.claimName: not set; needed with modelRepository.source=pvc"),
    ({**PLAIN, "modelRepository.source": "objectStore"}, "modelRepository.objectStore: image.repository, image.tag (or image.digest) and args are needed with modelRepository.source=objectStore"),
    ({**PLAIN, **STORE}, "networkPolicy.extraEgress: empty, so that the object store cannot be reached; allowed: a rule for it, or networkPolicy.enabled=false"),
    ({**TRITON, "triton.gpu.enabled": True, "triton.plans.build": "job"}, "triton.plans.build: job writes into the repository's volume and needs modelRepository.source=pvc, got image; allowed: that, or initContainer"),
    ({**TRITON, "triton.gpu.enabled": True, "triton.plans.build": "initContainer"}, "triton.plans.cacheClaimName: not set; initContainer needs a volume that keeps plans, or every pod would build them for minutes"),
    ({**TRITON, "triton.plans": {"build": "initContainer", "cacheClaimName": "plans"}}, "triton.gpu.enabled: false in pool default, but plans are built on a GPU; allowed: true, or triton.plans.build=none"),
    ({**TRITON, "triton.pools": [{"name": "a", "overrides": {"gpu": {"enabled": True}, "plans": {"build": "job"}}}]}, "triton.pools a: plans.build differs from triton.plans.build; allowed: the same for all pools"),
    ({**TRITON, "triton.engineCache.type": "pvc"}, "triton.engineCache.claimName: not set; needed with triton.engineCache.type=pvc"),
    ({**PLAIN, "gateway.autoscaling.type": "hpa", "gateway.autoscaling.minReplicas": 0}, "gateway.autoscaling.minReplicas: got 0; allowed: at least 1, or 0 for Triton with triton.scaleToZero=true"),
    ({**PLAIN, "gateway.autoscaling.type": "hpa", "gateway.autoscaling.minReplicas": 11}, "gateway.autoscaling.minReplicas: got 11; allowed: at most maxReplicas, 10"),
    ({**PLAIN, "gateway.autoscaling.type": "hpa", "gateway.autoscaling.scaleDown.stabilizationSeconds": 60}, "gateway.autoscaling.scaleDown.stabilizationSeconds: got 60; allowed: more than modelLoadSeconds, 60, or replicas go that have only just loaded their models"),
    ({**PLAIN, "gateway.autoscaling.type": "hpa", "gateway.autoscaling.workWaitingSeconds": 0}, "gateway.autoscaling: nothing to scale on; allowed: workWaitingSeconds, imagesInProgress or cpuUtilization above 0"),
    ({**KEDA, "gateway.autoscaling.cpuUtilization": 80}, "gateway.autoscaling.cpuUtilization: is for type hpa; allowed with keda: 0"),
    ({**KEDA, "gateway.autoscaling.keda.prometheusAddress": ""}, "gateway.autoscaling.keda.prometheusAddress: not set; allowed: the address of the Prometheus that KEDA asks, for example http://prometheus.monitoring:9090"),
    ({**KEDA, "gateway.autoscaling.keda.fallbackReplicas": 11}, "gateway.autoscaling.keda.fallbackReplicas: got 11; allowed: from minReplicas, 2, to maxReplicas, 10"),
    ({**PLAIN, "triton.scaleToZero": True}, "triton.scaleToZero: needs mode=triton and triton.autoscaling.type=keda"),
    ({**TRITON, "triton.scaleToZero": True, "triton.autoscaling": {"type": "keda", "keda": {"prometheusAddress": "http://p:9090"}}}, "triton.autoscaling.minReplicas: got 1 with triton.scaleToZero; allowed: 0"),
    ({**PLAIN, "mode": "sidecar", "triton.pools": [{"name": "a"}, {"name": "b"}]}, "triton.pools: several pools need mode=triton; allowed with mode=sidecar: at most one"),
    ({**TRITON, "triton.pools": [{"name": "a"}, {"name": "a"}]}, "triton.pools: the name a stands there twice"),
    ({**PLAIN, "grpcRoute.enabled": True}, "grpcRoute.parentRefs: empty; allowed: at least one Gateway, for example [{name: public, namespace: gateways}]"),
    ({**PLAIN, "ingress.enabled": True}, "ingress: hosts and tlsSecret are needed: gRPC over an Ingress is HTTP/2 with TLS"),
    ({**PLAIN, "canary.enabled": True, "canary.weight": 5}, "canary.weight: needs grpcRoute.enabled=true; without it canary.shareServices=true gives the canary the share of its replicas"),
    ({**PLAIN, "canary.enabled": True, "canary.shareServices": True, "grpcRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "canary.shareServices: with grpcRoute.enabled the share would be counted twice; allowed: one of the two"),
    ({**PLAIN, "gateway.apiKeys.existingSecret": "keys"}, "test.apiKeySecret: not set, and callers need a key; allowed: a Secret with a key of scope synthesize, or test.enabled=false"),
    ({**PLAIN, "monitoring.prometheusRule.runbookUrl": "see wiki"}, 'monitoring.prometheusRule.runbookUrl: got "see wiki"; allowed: an address'),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[each[1][:60] for each in REFUSED])
def test_wrong_values_are_refused(values: dict[str, object], message: str) -> None:
    done = template(*sets(values))
    assert done.returncode != 0
    assert message in done.stderr, done.stderr


def test_triton_is_held_to_the_rules_of_scaling_too() -> None:
    done = template(*sets({**TRITON, "triton.autoscaling.type": "keda"}))
    assert "triton.autoscaling.keda.prometheusAddress: not set; allowed: the address" in done.stderr


def test_every_refusal_of_the_templates_is_tried() -> None:
    text = (CHART / "templates" / "validate.yaml").read_text()
    assert text.count("fail ") == sum(
        not message.startswith(("at '", "additional ")) for _, message in REFUSED
    )


def test_a_cluster_that_is_too_old_is_refused() -> None:
    done = helm("template", CHART, "--values", SCENARIOS["embedded-minimal"], "--kube-version", "1.29.9")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.30.0-0" in done.stderr
