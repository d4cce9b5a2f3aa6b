"""Runs a container of a rendered pod on this machine, with exactly its arguments, variables and files.

Namespaces of the kernel give it the ports that it asks for, its own /etc/maskweave and /models, a root that
cannot be written, and the number 1; it runs as the rendered user, without capabilities and without a way to
more. What stands in for the image is the checkout. Only root can start processes of another user: for others
the user is root's inside a namespace, and `as_rendered_user` is false.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.chart import ROOT, Manifest
from tests.support.namespaces import NamespacedProcess, tool

_PROGRAMS = ROOT / ".venv" / "dev" / "bin"
_PROBE_SECONDS = 60

# What the checkout needs of the machine: programs and libraries, and then Python, itself and its environment.
_SYSTEM = {"usr", "bin", "sbin", "lib", "lib32", "lib64"}
_NEEDED = (Path(sys.base_prefix), ROOT, (ROOT / ".venv").resolve().parent)
_OTHERS_MAY = stat.S_IROTH | stat.S_IXOTH

# The variables of the Dockerfile's target `gateway`.
_IMAGE = {
    "PATH": f"{_PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "proto" / "python", ROOT / "client"))),
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

    Attributes:
        as_rendered_user: Whether it runs as the user that the pod asks for.
    """

    as_rendered_user = os.getuid() == 0

    def __init__(self, pod: Manifest, files: Mapping[str, str], folder: Path) -> None:
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
        # By the checkout's interpreter, wherever the program's first line looks for one.
        program = shlex.join([str(_PROGRAMS / "python"), str(_PROGRAMS / "maskweave"), *container["args"]])
        start = f"chroot {root} {program}"
        if self.as_rendered_user:
            rights = pod["spec"]["securityContext"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            user = f"--userspec={rights['runAsUser']}:{rights['runAsGroup']} --groups="
            start = f"{tool('setpriv')} --no-new-privs chroot {user} {root} {program}"
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
                f"exec {start}",
            ]
        )
        own = ["--user", "--map-root-user"] if os.getuid() else []
        with_tools = {"PATH": f"{self.environment['PATH']}:/usr/sbin:/sbin"}
        super().__init__((*own, "--mount", "--net"), script, self.environment | with_tools)

    def on_network(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the pod's network."""
        own = ["--user", "--preserve-credentials"] if os.getuid() else []
        return self.beside((*own, "--net"), command, {"PATH": os.environ["PATH"], **environment})

    def start_on_network(self, *command: object) -> subprocess.Popen[str]:
        """Start a command on the pod's network; what it prints can be read."""
        own = ["--user", "--preserve-credentials"] if os.getuid() else []
        return subprocess.Popen(
            [tool("nsenter"), "--target", str(self.first_process), *own, "--net", *map(str, command)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": _IMAGE["PYTHONPATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

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
        if path.name in _SYSTEM:
            yield f"cp -a {path} {root}/" if path.is_symlink() else _mounted(path, root)
    for path in sorted(set(_NEEDED)):
        if path.parts[1] not in _SYSTEM and not any(
            path.is_relative_to(other) for other in _NEEDED if other != path
        ):
            yield from _readable(path, root)


def _readable(path: Path, root: Path) -> Iterator[str]:
    """A folder of whose parents others need not have any rights, as other users can read it."""
    if path.stat().st_mode & _OTHERS_MAY == _OTHERS_MAY:
        yield _mounted(path, root)
        return
    for child in sorted(path.iterdir()):
        if child.is_dir():
            yield from _readable(child, root)


def _mounted(path: Path, root: Path) -> str:
    return f"mkdir -p {root}{path} && mount --rbind {path} {root}{path}"


@contextmanager
def pod_process(pod: Manifest, files: Mapping[str, str], folder: Path) -> Iterator[PodProcess]:
    """A gateway that is killed at the end of this context if it still runs."""
    folder.mkdir(exist_ok=True)
    process = PodProcess(pod, files, folder)
    try:
        yield process
    finally:
        process.kill()
