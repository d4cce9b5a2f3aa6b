"""Starts a real NVIDIA Triton without a container engine: `.venv/triton/bin/python tests/triton/server.py`.

The server, its python backend and its response cache come in the wheel `nvidia-pytriton`; ONNX Runtime is put
behind the name `onnxruntime` by the small backend in `backends/`. For development and tests: the release is
of October 2024, older than known security fixes, and its latency is not that of Triton's own backends.

The process becomes the server (`exec`), so that signals reach it. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
DEFAULT_REPOSITORY = HERE.parents[1] / "model_repository"
LOOPBACK = "127.0.0.1"
SYSTEM_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib")


def main() -> None:
    """Become the server."""
    options, further = _parse()
    package, libpython = _package(), _libpython()
    environment = Path(sys.prefix)
    backends = _backends(package, environment / "triton-backends")
    if options.check:
        return
    libraries = (package.parent / "nvidia_pytriton.libs", libpython.parent)
    os.environ["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
    # The python backend's processes ask the first python3 on the path where its packages are.
    os.environ["PATH"] = f"{environment / 'bin'}:{os.environ.get('PATH', '')}"
    server = package / "tritonserver" / "bin" / "tritonserver"
    arguments = [
        str(server),
        f"--model-repository={options.model_repository.resolve()}",
        f"--backend-directory={backends}",
        f"--cache-directory={package / 'tritonserver' / 'caches'}",
        f"--cache-config=local,size={options.cache_bytes}",
        "--disable-auto-complete-config",
        "--model-control-mode=none",
        "--strict-readiness=true",
        "--exit-on-error=true",
        f"--exit-timeout-secs={options.exit_seconds}",
        "--allow-gpu-metrics=false",
        *(f"--{kind}-address={LOOPBACK}" for kind in ("grpc", "http", "metrics")),
        f"--grpc-port={options.grpc_port}",
        f"--http-port={options.http_port}",
        f"--metrics-port={options.metrics_port}",
        *further,
    ]
    print(
        f"Triton: gRPC {LOOPBACK}:{options.grpc_port}, metrics {LOOPBACK}:{options.metrics_port}", flush=True
    )
    os.execv(server, arguments)


def _parse() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description="Start a real Triton on this machine's loopback. Other options go to tritonserver.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model-repository", type=Path, default=DEFAULT_REPOSITORY)
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--metrics-port", type=int, default=8002)
    parser.add_argument("--cache-bytes", type=int, default=64 * 2**20, help="of the response cache")
    parser.add_argument("--exit-seconds", type=int, default=10, help="for requests in progress on SIGTERM")
    parser.add_argument("--check", action="store_true", help="only see whether everything is there")
    options, further = parser.parse_known_args()
    if not options.model_repository.is_dir():
        parser.error(f"--model-repository: {options.model_repository} is not a directory")
    return options, further


def _package() -> Path:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(f"this Triton runs on Linux on x86-64, not on {platform.system()} on {platform.machine()}")
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        sys.exit("nvidia-pytriton is not installed here: run `make triton`, which makes .venv/triton for it")
    return Path(spec.origin).parent


def _libpython() -> Path:
    """The shared library of this Python, which the python backend links to."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    for folder in filter(None, (sysconfig.get_config_var("LIBDIR"), *SYSTEM_LIBRARIES)):
        if (path := Path(folder) / name).exists():
            ctypes.CDLL(str(path))  # readable, and of this machine
            return path
    sys.exit(
        f"{name} is missing, which Triton's python backend needs: on Debian and Ubuntu, "
        f"apt-get install libpython{sys.version_info.major}.{sys.version_info.minor}"
    )


def _backends(package: Path, folder: Path) -> Path:
    """A backend directory with the wheel's python backend, made complete, and our stand-in."""
    python = folder / "python"
    stub = python / "triton_python_backend_stub"
    if not stub.exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(package / "tritonserver" / "backends" / "python", python)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        source = package / "tritonserver" / "python_backend_stubs" / version / stub.name
        partial = stub.with_suffix(".partial")
        shutil.copy(source, partial)
        partial.chmod(0o755)
        partial.rename(stub)
    link = folder / "onnxruntime"
    if not link.exists():
        link.symlink_to(HERE / "backends" / "onnxruntime")
    return folder


if __name__ == "__main__":
    main()
