"""The image of the gateway: built, looked into, started as an engine would start it, and asked for faces."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from benchmarks.ports import free_ports
from maskweave_client import Client
from tests.container.conftest import Image
from tests.support.buildah import ROOT, Buildah
from tests.support.container import Container, running_container
from tests.support.gateway_process import gateway_process

# Building without a cache of layers takes minutes, and the first fixtures count as part of the first test.
pytestmark = pytest.mark.timeout(900)

# The environment and the model repository. They were 263 MB when this was written.
MOST_ADDED_BYTES = 300_000_000
LABEL_MAPS = sorted((ROOT / "client" / "examples" / "label_maps").glob("*.png"))


@pytest.fixture
def ports() -> dict[str, str]:
    """Settings without TLS, and with free ports, because the container shares the machine's network."""
    first, second = map(str, free_ports(2))
    return {
        "MASKWEAVE_ALLOW_PLAINTEXT": "true",
        "MASKWEAVE_GRPC_PORT": first,
        "MASKWEAVE_HTTP_PORT": second,
    }


def files_of(root: Path) -> Iterator[Path]:
    """Every file and folder of an image."""
    for folder, folders, files in os.walk(root):
        yield from (Path(folder, name) for name in (*folders, *files))


def tree_bytes(root: Path) -> int:
    return sum(path.lstat().st_size for path in files_of(root) if not path.is_dir() or path.is_symlink())


def test_runs_as_a_numbered_user_and_checks_its_health(image: Image) -> None:
    assert image.configuration["User"] == "10001:10001"
    assert image.configuration["StopSignal"] == "SIGTERM"
    assert set(image.configuration["ExposedPorts"]) == {"50051/tcp", "8080/tcp"}
    assert image.configuration["Healthcheck"]["Test"] == ["CMD", "maskweave", "health"]


@pytest.mark.parametrize(
    "name", ["torch", "pip", "setuptools", "wheel", "ensurepip", "onnx", "maskweave_client"]
)
def test_lacks_the_python_package(image: Image, name: str) -> None:
    assert not [path for path in files_of(image.root) if path.name == name and path.is_dir()]


def test_lacks_the_weights_of_training(image: Image) -> None:
    assert not [path for path in files_of(image.root) if path.suffix in {".safetensors", ".pt"}]


@pytest.mark.parametrize("name", ["gcc", "cc", "g++", "clang", "make", "pip", "pip3", "git", "curl", "wget"])
def test_lacks_the_program(image: Image, name: str) -> None:
    places = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/maskweave/bin")
    assert not [place for place in places if os.path.lexists(image.root / place / name)]


def test_nobody_but_root_can_write_what_runs(image: Image) -> None:
    parts = [image.root / "opt", image.root / "models"]
    for path in (path for part in parts for path in (part, *files_of(part))):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (0, 0), path
        if not stat.S_ISLNK(status.st_mode):
            assert not status.st_mode & (stat.S_IWOTH | stat.S_IWGRP), path
            assert status.st_mode & stat.S_IROTH, path


def test_every_python_file_of_the_environment_is_compiled(image: Image) -> None:
    """A root that cannot be written cannot keep what is compiled at the start."""
    library = image.root / "opt" / "maskweave" / "lib"
    sources = [path for path in files_of(library) if path.suffix == ".py"]
    assert len(sources) > 500
    for source in sources:
        assert list(source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")), source


def test_holds_nothing_that_was_lent_to_the_build(image: Image, buildah: Buildah) -> None:
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings", buildah.marker, image.root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "")
    assert not (image.root / "etc" / "pip.conf").exists()
    assert not list((image.root / "run").glob("secrets/*"))
    assert buildah.marker not in buildah("inspect", "--type", "image", image.name)


def test_two_builds_give_the_same_layers(image: Image, buildah: Buildah, base: str) -> None:
    with buildah.built("gateway", PYTHON_IMAGE=base) as again:
        assert buildah.configuration(again)["DiffIDs"] == image.configuration["DiffIDs"]


def test_draws_what_a_gateway_of_this_checkout_draws(container: Container, ports: dict[str, str]) -> None:
    container.wait_until_healthy()
    with (
        gateway_process(ROOT / "model_repository") as gateway,
        Client(gateway.address) as here,
        Client(f"127.0.0.1:{ports['MASKWEAVE_GRPC_PORT']}") as there,
    ):
        models = [model.name for model in there.models()]
        assert models == [model.name for model in here.models()]
        assert models
        for model, path in product(models, LABEL_MAPS):
            with Pictures.open(path) as label_map:
                expected = here.synthesize(model, label_map, seed=7)
                got = there.synthesize(model, label_map, seed=7)
            assert [each.data for each in got.images] == [each.data for each in expected.images]
            assert np.asarray(got.images[0].to_pil()).std() > 10


def test_runs_without_privileges_or_anything_to_write(container: Container) -> None:
    container.wait_until_healthy()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{container.first_process}/status").read_text().splitlines()
    )
    assert status["NSpid"].split()[1:] == ["1"]
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"10001"}
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == 0
    mounts = [
        line.split() for line in Path(f"/proc/{container.first_process}/mountinfo").read_text().splitlines()
    ]
    assert [mount[5].split(",")[0] for mount in mounts if mount[4] == "/"] == ["ro"]
    assert {mount[4] for mount in mounts if mount[5].startswith("rw")} <= {
        "/proc", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
    }  # fmt: skip
    assert container.run(["sh", "-c", "echo > /tmp/file"]).returncode != 0


def test_health_check_follows_the_gateway(container: Container, ports: dict[str, str]) -> None:
    container.wait_until_healthy()
    checked = container.check_health()
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "SERVING\n", "")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        checked = container.run(["maskweave", "health", "--address", address])
    assert checked.returncode == 1
    assert checked.stderr.startswith(f"Error: {address} cannot be reached")


def test_without_tls_it_starts_only_when_told_to(image: Image) -> None:
    with running_container(image.root, image.configuration) as container:
        assert container.wait() != 0
    assert "grpc_host: got '0.0.0.0' without TLS" in container.output


def test_stops_cleanly(container: Container) -> None:
    container.wait_until_healthy()
    container.send(signal.SIGTERM)
    assert container.wait() == 0
    assert container.output.rstrip().endswith("stopped")


def test_a_signal_before_the_gateway_listens_to_signals_is_not_lost(container: Container) -> None:
    """Process 1 would never see it, and the engine would wait for the whole grace before it kills."""
    while not any("/bin/maskweave serve" in line for line in container.command_lines()):
        time.sleep(0.001)
    assert not container.output
    container.send(signal.SIGTERM)
    assert container.wait() == 128 + signal.SIGTERM
    assert "stopping" not in container.output


def test_size_is_kept_in_bounds(
    image: Image, container: Container, buildah: Buildah, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also shows the figures that docs/image.md gives."""
    start_seconds = container.wait_until_healthy()
    container.kill()
    with buildah.mounted(base) as root:
        base_bytes = tree_bytes(root)
    whole = tree_bytes(image.root)
    packed = subprocess.run(
        f"tar -C '{image.root}' -c . | gzip | wc -c", shell=True, capture_output=True, text=True, check=True
    ).stdout
    added = sum(tree_bytes(image.root / part) for part in ("opt", "models"))
    packages = next((image.root / "opt/maskweave/lib").glob("python3*/site-packages"))
    folders = [image.root / "models", *(path for path in packages.iterdir() if path.is_dir())]
    largest = sorted(((tree_bytes(folder), folder) for folder in folders), reverse=True)[:8]
    with capsys.disabled():
        print(
            f"\ngateway image, built in {image.build_seconds:.0f} s on {len(os.sched_getaffinity(0))} cores, "
            f"healthy after {start_seconds:.1f} s:"
        )
        print(f"  {whole / 1e6:6.1f} MB in all, {int(packed) / 1e6:.1f} MB as tar.gz")
        print(f"  {base_bytes / 1e6:6.1f} MB is the base, before the package installers are taken out")
        print(f"  {added / 1e6:6.1f} MB are the environment and the models, of which")
        for size, folder in largest:
            print(f"    {size / 1e6:6.1f} MB /{folder.relative_to(image.root)}")
    assert added < MOST_ADDED_BYTES
