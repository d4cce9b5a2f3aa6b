"""Runs a container of a rendered pod on this machine, with exactly its arguments, variables and files.

Namespaces of the kernel give it the ports that it asks for, its own /etc/maskweave and /models, a root that
cannot be written, and the number 1. What stands in for the image is the checkout.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.chart import ROOT, Manifest
from tests.support.namespaces import NamespacedProcess

_PROGRAMS = ROOT / ".venv" / "dev" / "bin"
_PROBE_SECONDS = 60

# What the checkout needs of the machine: programs, libraries, Python, and itself.
_NEEDED = {
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    *(Path(each).parts[1] for each in (sys.base_prefix, ROOT)),
}

# The variables of the Dockerfile's target `gateway`.
_IMAGE = {
    "PATH": f"{_PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MASKWEAVE_GRPC_HOST": "0.0.0.0",
    "MASKWEAVE_HTTP_HOST": "0.0.0.0",
    "MASKWEAVE_MODEL_REPOSITORY": "/models",
}


class PodProcess(NamespacedProcess):
    """The gateway of a pod, running.

    Args:
        pod: The pod's metadata and spec.
        files: What its mounts hold, by path.
        folder: An empty folder.
        arguments: Further arguments.
    """

    def __init__(
        self, pod: Manifest, files: Mapping[str, str], folder: Path, arguments: Sequence[str] = ()
    ) -> None:
        (container,) = (each for each in pod["spec"]["containers"] if each["name"] == "gateway")
        self.grace_seconds = int(pod["spec"]["terminationGracePeriodSeconds"])
        self.container = container
        self.environment = _IMAGE | {
            each["name"]: each["value"] for each in container["env"] if "value" in each
        }
        etc, root = folder / "etc", folder / "root"
        shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("*shadow*", "ssl"))
        for path, content in files.items():
            file = etc / Path(path).relative_to("/etc")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        root.mkdir()
        command = shlex.join(["maskweave", *container["args"], *arguments])
        script = "\n".join(
            [
                "set -e",
                "ip link set lo up",
                f"mount -t tmpfs none {root}",
                *_bound(root),
                f"mkdir {root}/etc {root}/models {root}/proc {root}/dev",
                f"mount --bind {etc} {root}/etc",
                f"mount --bind {ROOT / 'model_repository'} {root}/models",
                f"mount --rbind /dev {root}/dev",
                f"mount -t proc none {root}/proc",
                f"mount -o remount,ro {root}",
                f"mount -o remount,bind,ro {root}/etc",
                f"exec chroot {root} {_PROGRAMS / command}",
            ]
        )
        own = ["--user", "--map-root-user"] if os.getuid() else []
        with_tools = {"PATH": f"{self.environment['PATH']}:/usr/sbin:/sbin"}
        super().__init__((*own, "--mount", "--net"), script, self.environment | with_tools)

    def on_network(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the pod's network."""
        own = ["--user", "--preserve-credentials"] if os.getuid() else []
        return self.beside((*own, "--net"), command, {"PATH": os.environ["PATH"], **environment})

    def probe(self, name: str) -> bool:
        """Whether a probe succeeds, asked as a kubelet asks."""
        probe = self.container[name]
        if "grpc" in probe:
            address = f"127.0.0.1:{probe['grpc']['port']}"
            return self.on_network(_PROGRAMS / "maskweave", "health", "--address", address).returncode == 0
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        url = f"http://127.0.0.1:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
        code = f"import urllib.request as r; r.urlopen({url!r}, timeout=10)"
        return self.on_network(_PROGRAMS / "python", "-c", code).returncode == 0

    def wait_for_probe(self, name: str) -> None:
        """Wait until a probe succeeds."""
        end = time.monotonic() + _PROBE_SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, f"it ended:\n{self.output}"
            if self.probe(name):
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} does not succeed:\n{self.output}")


def _bound(root: Path) -> Iterator[str]:
    """Folders at their places, links as links."""
    for path in sorted(Path("/").iterdir()):
        if path.name not in _NEEDED:
            continue
        if path.is_symlink():
            yield f"cp -a {path} {root}/"
        elif path.is_dir():
            yield f"mkdir {root}{path} && mount --rbind {path} {root}{path}"


@contextmanager
def pod_process(
    pod: Manifest, files: Mapping[str, str], folder: Path, arguments: Sequence[str] = ()
) -> Iterator[PodProcess]:
    """A gateway that is killed at the end of this context if it still runs."""
    folder.mkdir(exist_ok=True)
    process = PodProcess(pod, files, folder, arguments)
    try:
        yield process
    finally:
        process.kill()
