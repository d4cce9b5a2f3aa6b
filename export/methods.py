"""Which methods can be exported: one loader each, and nothing else anywhere knows one from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from export.exported import ExportedPack
from export.groupdnet import load_groupdnet
from export.sis_ug import load_sis_ug
from training.config.packs import pack_method
from training.groupdnet.config import METHOD as GROUPDNET
from training.sis_ug.config import SIS_UG

LOADERS: Mapping[str, Callable[[str], ExportedPack]] = MappingProxyType(
    {SIS_UG: load_sis_ug, GROUPDNET: load_groupdnet}
)


def load_pack(name: str) -> ExportedPack:
    """A trained pack, ready to export.

    Raises:
        FileNotFoundError: if it has not been trained.
        ValueError: if its method is unknown, its configuration does not fit, or it is none to be served.
    """
    method = pack_method(name)
    if method not in LOADERS:
        raise ValueError(f"pack {name!r} is of the method {method!r}; exported are {', '.join(LOADERS)}")
    return LOADERS[method](name)
