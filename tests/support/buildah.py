"""Builds the images of the Dockerfile without a container engine: buildah, on a base made by debootstrap."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# The tool and the Debian package that brings it.
_TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap", "newuidmap": "uidmap"}
_SUITE = "bookworm"
_BASE_PACKAGES = ("python3", "python3-pip", "ca-certificates")
# As in the official slim images, so that sizes can be compared.
_BASE_LEAVES_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
)
_PUBLIC_MIRROR = "http://deb.debian.org/debian"

# Settings of pip that say where packages come from and that make sense inside of a build.
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout")
_CERTIFICATES_IN_BUILD = "/run/secrets/ca.crt"


class Buildah:
    """buildah with a storage of its own, which keeps the base from one run to the next.

    Args:
        folder: Where the storage lies.

    Attributes:
        marker: A text in everything secret that was lent to builds; no image may have it.
    """

    def __init__(self, folder: Path) -> None:
        self.marker = f"lent-to-the-build-{uuid.uuid4()}"
        self._folder = folder

    def __call__(self, *arguments: str | Path) -> str:
        """Run buildah and return what it prints."""
        storage = ("--root", self._folder / "root", "--runroot", self._folder / "run")
        return _run("buildah", *storage, "--storage-driver", "vfs", *arguments).strip()

    def base(self) -> str:
        """An image of Debian with Python, which stands in for the public bases; made once."""
        mirror = _debian_mirror()
        recipe = json.dumps([_SUITE, _BASE_PACKAGES, _BASE_LEAVES_OUT, mirror])
        image = f"localhost/maskweave-base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        if image in self("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            return image
        container = self("from", "scratch")
        try:
            root = Path(self("mount", container))
            _run(
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(_BASE_PACKAGES)}",
                _SUITE,
                root,
                mirror,
            )
            for path in _BASE_LEAVES_OUT:
                shutil.rmtree(root / path)
            self("commit", "--format", "docker", "--timestamp", "0", container, image)
        finally:
            self("rm", container)
        return image

    @contextmanager
    def built(self, target: str, **build_arguments: str) -> Iterator[str]:
        """An image of a target, gone at the end of this context.

        No cache of layers: the storage driver that works everywhere copies the whole tree for each of them,
        which takes longer than building them.
        """
        name = f"localhost/maskweave-{target}:{uuid.uuid4().hex[:12]}"
        secrets = self._folder / f"secrets-{uuid.uuid4().hex}"
        secrets.mkdir(mode=0o700)
        try:
            pip_conf, certificates = self._secrets(secrets)
            self(
                *("build", "--isolation", "chroot", "--format", "docker", "--timestamp", "0"),
                *("--no-cache", "--force-rm", "--target", target, "--tag", name),
                *(
                    part
                    for key, value in build_arguments.items()
                    for part in ("--build-arg", f"{key}={value}")
                ),
                *("--secret", f"id=pip.conf,src={pip_conf}", "--secret", f"id=ca.crt,src={certificates}"),
                ROOT,
            )
        finally:
            shutil.rmtree(secrets)
        try:
            yield name
        finally:
            self("rmi", "--force", name)

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """The files of an image."""
        container = self("from", image)
        try:
            yield Path(self("mount", container))
        finally:
            self("rm", container)

    def configuration(self, image: str) -> dict[str, Any]:
        """How the image says it runs, in Docker's terms; `DiffIDs` holds the digests of its layers."""
        found = json.loads(self("inspect", "--type", "image", image))
        return {**found["Docker"]["config"], "DiffIDs": found["OCIv1"]["rootfs"]["diff_ids"]}

    def _secrets(self, folder: Path) -> tuple[Path, Path]:
        """This machine's pip settings and certificates, for the build only."""
        settings = _pip_settings()
        lines = [f"{key} = {settings[key]}" for key in _PIP_SETTINGS if key in settings]
        pip_conf = folder / "pip.conf"
        pip_conf.write_text(
            "\n".join([f"# {self.marker}", "[global]", f"cert = {_CERTIFICATES_IN_BUILD}", *lines, ""])
        )
        certificates = folder / "ca.crt"
        bundle = settings.get("cert", "/etc/ssl/certs/ca-certificates.crt")
        certificates.write_text(f"# {self.marker}\n" + Path(bundle).read_text())
        return pip_conf, certificates


def ensure_tools() -> None:
    """Install what is missing, where that is possible; else say what is."""
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if os.geteuid() != 0:
        raise RuntimeError(
            "building and starting images without a container engine needs root: sudo make image-test"
        )
    if missing and shutil.which("apt-get") is None:
        raise RuntimeError(f"missing: {', '.join(missing)}; there is no apt-get here to install them with")
    if missing:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "--yes", "-qq", "--no-install-recommends", *missing)


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    called = " ".join(map(str, command))
    assert done.returncode == 0, f"{called}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def _debian_mirror() -> str:
    """Where this machine itself gets Debian from."""
    apt = Path("/etc/apt")
    for file in sorted([apt / "sources.list", *apt.glob("sources.list.d/*")]):
        if file.is_file():
            found = re.search(
                r"^(?:URIs:|deb(?: \[[^]]*\])?) +(\S+/debian)/?(?: |$)", file.read_text(), re.MULTILINE
            )
            if found:
                return found[1]
    return _PUBLIC_MIRROR


def _pip_settings() -> dict[str, str]:
    """Pip's settings on this machine by name; those of the environment win, as with pip itself."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^(global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    order = ("global", "install", ":env:")
    settings = {}
    for _, key, value in sorted(found, key=lambda each: order.index(each[0])):
        # Folders of this machine are not seen from inside of a build.
        values = [part for part in value.replace("\\n", " ").split() if not part.startswith("file:")]
        if values:
            settings[key] = " ".join(values)
    return settings
