"""What is rendered starts real gateways: arguments, variables and files of every pod as they are."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.chart import CHART, ROOT, SCENARIOS, Manifest, named, of_kind, rendered
from tests.support.forked_python import run_program
from tests.support.key_file import new_key
from tests.support.pod import PodProcess, pod_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PYTHON = ROOT / ".venv" / "dev" / "bin" / "python"
CONFIG = "/etc/maskweave/maskweave.toml"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="session")
def secrets(authority: Authority) -> dict[str, str]:
    """What the Secrets of all scenarios hold, by file name."""
    pair = authority.issue("gateway", names="DNS:maskweave.example.com,DNS:localhost,IP:127.0.0.1")
    signing = authority.issue_signing("signing")
    key, entry = new_key()
    return {
        "tls.crt": pair.certificate.read_text(),
        "tls.key": pair.key.read_text(),
        "ca.crt": authority.certificate.read_text(),
        "keys.toml": entry.to_toml(),
        "callers.toml": entry.to_toml(),
        "key": key,
        "signing/tls.crt": signing.certificate.read_text(),
        "signing/tls.key": signing.key.read_text(),
    }


def files_of(objects: list[Manifest], pod: Manifest, secrets: dict[str, str]) -> dict[str, str]:
    """What the gateway's mounts below /etc hold."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    files: dict[str, str] = {}
    (container,) = (each for each in pod["spec"]["containers"] if each["name"] == "gateway")
    for mount in container["volumeMounts"]:
        path, volume = mount["mountPath"], volumes[mount["name"]]
        if not path.startswith("/etc/"):
            continue
        if "secret" in volume:
            # A Secret that another use of the same file names has of its own goes before.
            files |= {f"{path}/{name}": content for name, content in secrets.items() if "/" not in name}
            own = {name for name in secrets if name.startswith(f"{mount['name']}/")}
            files |= {f"{path}/{Path(name).name}": secrets[name] for name in own}
        else:
            data = named(objects, "ConfigMap", volume["configMap"]["name"])["data"]
            files[path] = data[mount["subPath"]]
    return files


def gateways(scenario: str) -> list[Manifest]:
    return [
        each["spec"]["template"]
        for each in of_kind(rendered(scenario), "Deployment")
        if each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"
    ]


def checked(pod: Manifest, files: dict[str, str], root: Path) -> subprocess.CompletedProcess[str]:
    """What `maskweave serve --check` says of a pod whose files lie below a folder instead of the root.

    On a root of its own, as pods further down have it, it would take its imports twenty times.
    """

    def moved(text: str) -> str:
        return text.replace("/etc/", f"{root}/etc/").replace("/models", str(ROOT / "model_repository"))

    for path, content in files.items():
        file = root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(moved(content) if path == CONFIG else content)
    (container,) = (each for each in pod["spec"]["containers"] if each["name"] == "gateway")
    variables = {each["name"]: moved(each["value"]) for each in container["env"] if "value" in each}
    arguments = map(moved, container["args"])
    return run_program("-m", "maskweave_cli", *arguments, "--check", environment=variables)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_gateway_takes_what_is_rendered(scenario: str, secrets: dict[str, str], tmp_path: Path) -> None:
    pods = gateways(scenario)
    assert pods
    for number, pod in enumerate(pods):
        done = checked(pod, files_of(rendered(scenario), pod, secrets), tmp_path / str(number))
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.rstrip().endswith("ok")


def test_what_the_gateway_does_not_take_would_be_noticed(secrets: dict[str, str], tmp_path: Path) -> None:
    (pod,) = gateways("embedded-minimal")
    files = files_of(rendered("embedded-minimal"), pod, secrets)
    files[CONFIG] += "\nmax_running = 2\n"
    done = checked(pod, files, tmp_path)
    assert done.returncode != 0
    assert "max_running" in done.stderr


@pytest.mark.parametrize("scenario", ["embedded-minimal", "mutual-tls"])
def test_a_pod_lives_as_rendered(scenario: str, secrets: dict[str, str], tmp_path: Path) -> None:
    """It starts on a root that cannot be written, is probed and tested, and stops within its grace."""
    (pod,) = gateways(scenario)
    script = CHART / "files" / "make_image.py"
    with pod_process(pod, files_of(rendered(scenario), pod, secrets), tmp_path / "pod") as gateway:
        gateway.wait_for_probe("startupProbe")
        assert gateway.probe("readinessProbe")
        assert gateway.probe("livenessProbe")
        assert_runs_as_rendered(gateway, pod)
        made = gateway.on_network(PYTHON, script, **variables_of_the_test(scenario, secrets, tmp_path))
        assert made.returncode == 0, made.stderr
        assert "twice the same" in made.stdout
        began = time.monotonic()
        gateway.send(signal.SIGTERM)
        # It goes on serving while balancers notice, and says so: not ready, but alive.
        while gateway.probe("readinessProbe"):
            assert time.monotonic() - began < gateway.grace_seconds
        assert gateway.wait(gateway.grace_seconds - (time.monotonic() - began)) == 0, gateway.output
    assert json.loads(gateway.output.splitlines()[-1])["message"] == "stopped"


def assert_runs_as_rendered(gateway: PodProcess, pod: Manifest) -> None:
    """As process 1, and as the user that is asked for, without capabilities and without a way to more."""
    lines = Path(f"/proc/{gateway.first_process}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    assert status["NSpid"].split()[1] == "1"
    if gateway.as_rendered_user:
        rights = pod["spec"]["securityContext"]
        assert set(status["Uid"].split()) == {str(rights["runAsUser"])} == {"10001"}
        assert set(status["Gid"].split()) == {str(rights["runAsGroup"])}
        assert (status["NoNewPrivs"], int(status["CapEff"], 16)) == ("1", 0)
    mounts = Path(f"/proc/{gateway.first_process}/mountinfo").read_text().splitlines()
    assert [each.split()[5].split(",")[0] for each in mounts if each.split()[4] == "/"] == ["ro"]


def test_a_stop_under_load_loses_nothing(secrets: dict[str, str], tmp_path: Path) -> None:
    """Calls and streams go on while the pod is told to stop: each is made, or refused as not begun."""
    (pod,) = gateways("embedded-minimal")
    files = files_of(rendered("embedded-minimal"), pod, secrets)
    with pod_process(pod, files, tmp_path / "pod") as gateway:
        gateway.wait_for_probe("readinessProbe")
        load = gateway.start_on_network(PYTHON, ROOT / "tests" / "support" / "pod_load.py", "127.0.0.1:50051")
        assert load.stdout is not None
        assert load.stdout.readline() == "going\n", load.communicate(timeout=60)
        began = time.monotonic()
        gateway.send(signal.SIGTERM)
        assert gateway.wait(gateway.grace_seconds) == 0, gateway.output
        assert time.monotonic() - began < gateway.grace_seconds
        told, _ = load.communicate(timeout=120)
    outcomes = json.loads(told)
    # It served while balancers would have noticed, and then every caller was told to go elsewhere.
    assert outcomes["after the signal"] > 0
    assert set(outcomes["calls"]) == set(outcomes["streams"]) == {"OK", "UNAVAILABLE"}, outcomes
    lines = [json.loads(line) for line in gateway.output.splitlines() if line.startswith("{")]
    calls = [line for line in lines if line["message"] == "call"]
    for method, name in (("Synthesize", "calls"), ("SynthesizeStream", "streams")):
        made = [each for each in calls if each["method"] == method and each["code"] == "OK"]
        assert len(made) == outcomes[name]["OK"]
        assert {each["code"] for each in calls if each["method"] == method} <= {"OK", "UNAVAILABLE"}


def variables_of_the_test(scenario: str, secrets: dict[str, str], folder: Path) -> dict[str, str]:
    """Variables of the rendered test pod, with its files on this machine and this pod as its target."""
    pod = named(rendered(scenario), "Pod", "rel-maskweave-test")
    for name, content in secrets.items():
        if "/" in name:
            continue
        (folder / name).write_text(content)
    variables = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
    for name, value in variables.items():
        if value.startswith(("/tls/", "/keys/")):
            variables[name] = str(folder / Path(value).name)
    return variables | {"TARGET": "127.0.0.1:50051"}
