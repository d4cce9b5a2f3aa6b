"""Puts the generated code of the contract into the wheel; an editable install finds it in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractHook(BuildHookInterface[BuilderConfig]):
    """Adds the package `maskweave`, which lies outside of this project, to standard wheels."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what to add: the source distribution's copy if there is one, or else the checkout's."""
        if version == "editable":
            return
        root = Path(self.root)
        packed = root / "maskweave"
        generated = packed if packed.is_dir() else root.parent / "proto" / "python" / "maskweave"
        build_data["force_include"][str(generated)] = "maskweave"
