"""Another version of small packs, beside the one that a repository has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from export.beside import put_beside
from tests.support.small_pack import LATENT_SCALE, VERSION


def add_version(
    repository: Path, write: Callable[[Path], object], source: Path, version: str
) -> Mapping[str, str]:
    """Write the packs of a repository once more, as another version.

    Its latents are half as large, by which one sees it in its images.

    Args:
        repository: What gets them.
        write: Writes them into a folder, as of the version of all small packs.
        source: That folder, which is not there yet.
        version: The other version.

    Returns:
        The new names of the models, by the old ones.
    """
    source.mkdir()
    write(source)
    for file in source.glob("*/config.pbtxt"):
        text = file.read_text().replace(f'"{VERSION}"', f'"{version}"')
        file.write_text(text.replace(f'"{LATENT_SCALE}"', f'"{LATENT_SCALE / 2}"'))
    return put_beside(source, repository)
