"""The targets whose bases cannot be had here: built on a stand-in, to see that what they copy is there."""

from __future__ import annotations

import os

from tests.support.buildah import ROOT, Buildah


def test_triton_target_has_the_repository_the_check_and_the_entry_point(buildah: Buildah, base: str) -> None:
    with buildah.built("triton", TRITON_IMAGE=base) as name, buildah.mounted(name) as root:
        configuration = buildah.configuration(name)
        *_, entry_point = configuration["Entrypoint"]
        assert os.access(root / entry_point.lstrip("/"), os.X_OK)
        assert (root / "opt/maskweave/export/__init__.py").is_file()
        configs = {path.parent.name for path in (root / "models").glob("*/config.pbtxt")}
        assert configs == {path.parent.name for path in (ROOT / "model_repository").glob("*/config.pbtxt")}
        assert configuration["User"] == "1000:1000"
        assert configuration["Cmd"] in (None, [])
