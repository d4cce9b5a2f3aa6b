"""API keys: how they are made, how they are kept, and whether one that was presented is among them.

A key is 256 random bits. What is kept of it is a salted hash, so that who reads the file can call nobody's
gateway. The hash is a fast one, BLAKE2b: slow hashes are for passwords, which can be guessed; 256 random
bits cannot, and a slow hash would let anyone keep the gateway busy with wrong keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import secrets
import tomllib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.core.errors import ConfigurationError
from service.core.redaction import KEY_PREFIX

_HASH_BYTES = 32
_KEY_BYTES = 32
_SALT_BYTES = 16
_MAX_PRESENTED_CHARS = 256
_HEXADECIMAL = r"^(?:[0-9a-f]{2})+$"


class Scope(StrEnum):
    """What a key is for."""

    SYNTHESIZE = "synthesize"
    EDIT = "edit"
    ADMIN = "admin"


class KeysError(ConfigurationError):
    """Keys that cannot be used."""


def _not_empty(scopes: frozenset[Scope]) -> frozenset[Scope]:
    if not scopes:
        raise ValueError(f"at least one of {', '.join(Scope)}")
    return scopes


class KeyEntry(BaseModel):
    """What is kept of one key.

    Attributes:
        id: Its name in logs and limits; no secret.
        salt: Random bytes of its own, hexadecimal.
        hash: Keyed BLAKE2b of the key, hexadecimal.
        scopes: What it is for.
        requests_per_second: Requests it is granted in the long run; None for no limit.
        burst: Requests it may send at once after a pause; as many as in a second when None.
        max_concurrent: Requests of it in progress at the same time; None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    salt: Annotated[str, Field(pattern=_HEXADECIMAL, min_length=2 * _SALT_BYTES, max_length=128, repr=False)]
    hash: Annotated[
        str,
        Field(pattern=_HEXADECIMAL, min_length=2 * _HASH_BYTES, max_length=2 * _HASH_BYTES, repr=False),
    ]
    scopes: Annotated[frozenset[Scope], AfterValidator(_not_empty)]
    requests_per_second: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    burst: Annotated[int | None, Field(ge=1)] = None
    max_concurrent: Annotated[int | None, Field(ge=1)] = None

    @property
    def bucket_size(self) -> float:
        """Requests it may send at once after a pause; at least one, or it could send none."""
        return float(self.burst or max(1, math.ceil(self.requests_per_second or 1)))

    def to_toml(self) -> str:
        """The entry as it stands in a file of keys."""
        lines = ["[[keys]]"]
        for name, value in self.model_dump(mode="json", exclude_none=True).items():
            # Strings, numbers and lists of plain strings are the same in JSON and TOML.
            lines.append(f"{name} = {json.dumps(sorted(value) if name == 'scopes' else value)}")
        return "\n".join(lines) + "\n"


def make_key(
    key_id: str,
    scopes: Sequence[Scope],
    *,
    requests_per_second: float | None = None,
    burst: int | None = None,
    max_concurrent: int | None = None,
) -> tuple[str, KeyEntry]:
    """Make a key and the entry to keep.

    Raises:
        KeysError: The entry would not be accepted.
    """
    # Unpadded, because "=" is no fun in shells.
    key = KEY_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode().rstrip("=")
    salt = secrets.token_hex(_SALT_BYTES)
    try:
        entry = KeyEntry(
            id=key_id,
            salt=salt,
            hash=_digest(_salted(salt), key.encode()).hex(),
            scopes=frozenset(scopes),
            requests_per_second=requests_per_second,
            burst=burst,
            max_concurrent=max_concurrent,
        )
    except ValidationError as error:
        raise KeysError(_problems(error, "")) from None
    return key, entry


class Keys:
    """The keys that a gateway accepts.

    Args:
        entries: What is kept of each.
    """

    def __init__(self, entries: Sequence[KeyEntry]) -> None:
        self._entries = tuple(entries)
        self._hashes = [(_salted(entry.salt), bytes.fromhex(entry.hash), entry) for entry in self._entries]
        self._own_salt = hashlib.blake2b(key=secrets.token_bytes(_SALT_BYTES), digest_size=_HASH_BYTES)
        self._found: dict[bytes, KeyEntry] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def __iter__(self) -> Iterator[KeyEntry]:
        """The entries in the order of the file."""
        return iter(self._entries)

    def find(self, key: str) -> KeyEntry | None:
        """The entry of a key; None when there is none.

        Every entry is compared, so that the time tells neither which one matched nor how nearly one did. A
        key that was found is remembered by a hash with a salt of this process: looking that up tells
        nothing either, and spares callers the other entries from their second call on.
        """
        if len(key) > _MAX_PRESENTED_CHARS:
            return None  # no key of ours, and not worth hashing
        encoded = key.encode("utf-8", "surrogatepass")
        own = _digest(self._own_salt, encoded)
        if (found := self._found.get(own)) is not None:
            return found
        matches = [
            entry
            for salted, kept, entry in self._hashes
            if hmac.compare_digest(_digest(salted, encoded), kept)
        ]
        if not matches:
            return None
        return self._found.setdefault(own, matches[0])


def parse_keys(text: str) -> Keys:
    """Read a file of keys.

    Raises:
        KeysError: It is not TOML, or an entry is not as `KeyEntry` has it, or two have the same id.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise KeysError([f"is not TOML: {error}"]) from None
    problems = [f"{name}: no such table; allowed: [[keys]]" for name in document if name != "keys"]
    tables = document.get("keys", [])
    if not isinstance(tables, list):
        raise KeysError([*problems, "keys: is not a list of tables; allowed: [[keys]], once for each key"])
    entries: list[KeyEntry] = []
    for number, table in enumerate(tables, 1):
        name = table.get("id") if isinstance(table, dict) else None
        where = f"key {name if isinstance(name, str) else number}"
        try:
            entries.append(KeyEntry.model_validate(table))
        except ValidationError as error:
            problems += _problems(error, f"{where}: ")
    ids = [entry.id for entry in entries]
    problems += [
        f"key {name}: {ids.count(name)} entries have this id"
        for name in sorted(set(ids))
        if ids.count(name) > 1
    ]
    if problems:
        raise KeysError(problems)
    return Keys(entries)


def _problems(error: ValidationError, where: str) -> list[str]:
    # Not the values: they are hashes at best, and keys where someone mixed things up.
    return [
        f"{where}{'.'.join(map(str, fault['loc'])) or 'entry'}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        for fault in error.errors(include_input=False, include_url=False)
    ]


def _salted(salt: str) -> hashlib.blake2b:
    return hashlib.blake2b(key=bytes.fromhex(salt), digest_size=_HASH_BYTES)


def _digest(salted: hashlib.blake2b, key: bytes) -> bytes:
    digest = salted.copy()
    digest.update(key)
    return digest.digest()
