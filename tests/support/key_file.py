"""Files of keys, as operators write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.access.keys import KeyEntry, Scope, make_key


def write_keys(file: Path, *entries: KeyEntry) -> Path:
    """Write a file of keys, at once as mounted secrets change."""
    replacement = file.with_name(f"{file.name}.new")
    replacement.write_text("\n".join(entry.to_toml() for entry in entries))
    return replacement.replace(file)


def new_key(name: str = "studio", *scopes: str, **limits: Any) -> tuple[str, KeyEntry]:
    """A key, for synthesis unless it says otherwise, and its entry."""
    return make_key(name, [Scope(scope) for scope in scopes or ("synthesize",)], **limits)
