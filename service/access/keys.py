"""API keys: how they are made, how they are kept, and whether one that was presented is among them.

A key is `mwk_<id>_<secret>`. The id is public: it finds the entry, so that looking a key up costs one hash
however many there are. The secret is 256 random bits in base64url. What is kept is a salted hash of the
whole key, so that who reads the file can call nobody's gateway. The hash is a fast one, BLAKE2b: slow hashes
are for passwords, which can be guessed; 256 random bits cannot, and a slow hash would let anyone keep the
gateway busy with wrong keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import secrets
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.core.errors import ConfigurationError
from service.core.logging import KEY_PREFIX

_HASH_BYTES = 32
_KEY_BYTES = 32
_SALT_BYTES = 16
_SECRET_CHARS = 43  # 32 bytes in base64 without padding
_SEPARATOR = "_"
_MAX_ID_CHARS = 64
_MAX_KEY_CHARS = len(KEY_PREFIX) + _MAX_ID_CHARS + len(_SEPARATOR) + _SECRET_CHARS
_MAX_PROBLEMS = 20
# tomllib takes a minute for one name of 50 000 parts; no line of a file of keys has more than a few dots.
_MAX_DOTS_A_LINE = 100
# TOML has integers of any length, of which no float is made.
_MANY = 10**9
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
    burst: Annotated[int | None, Field(ge=1, le=_MANY)] = None
    max_concurrent: Annotated[int | None, Field(ge=1, le=_MANY)] = None

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
    # Without padding, because "=" has to be quoted in shells.
    secret = base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode().rstrip("=")
    key = f"{KEY_PREFIX}{key_id}{_SEPARATOR}{secret}"
    salt = secrets.token_hex(_SALT_BYTES)
    try:
        entry = KeyEntry(
            id=key_id,
            salt=salt,
            hash=_digest(salt, key).hex(),
            scopes=frozenset(scopes),
            requests_per_second=requests_per_second,
            burst=burst,
            max_concurrent=max_concurrent,
        )
    except ValidationError as error:
        raise KeysError(_problems(error, "")) from None
    return key, entry


class Keys:
    """The keys that a gateway accepts. Never changes: a changed file makes another one.

    Args:
        entries: What is kept of each; their ids differ.
    """

    def __init__(self, entries: Sequence[KeyEntry]) -> None:
        self._entries = {entry.id: entry for entry in entries}
        # An id that is not known costs a hash too, so that the time does not tell which ids there are.
        self._unknown = KeyEntry(
            id="unknown",
            salt=secrets.token_hex(_SALT_BYTES),
            hash=secrets.token_hex(_HASH_BYTES),
            scopes=frozenset(Scope),
        )

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def __iter__(self) -> Iterator[KeyEntry]:
        """The entries in the order of the file."""
        return iter(self._entries.values())

    def find(self, key: str) -> KeyEntry | None:
        """The entry of a key that a caller presented; None when it is not one of these.

        Costs one hash and one comparison in constant time, whatever was presented and however many keys
        there are; text that has not the form of a key costs nothing.
        """
        key_id = _id_of(key)
        if key_id is None:
            return None
        entry = self._entries.get(key_id, self._unknown)
        matches = hmac.compare_digest(_digest(entry.salt, key), bytes.fromhex(entry.hash))
        return entry if matches and entry is not self._unknown else None

    def current(self, entry: KeyEntry) -> KeyEntry | None:
        """What has become of a key that was found earlier, in these or in other keys: its entry here.

        Its scopes and limits may be others by now. None when the key has been revoked: its id is gone, or
        belongs to another key. For sessions, which check their key at every frame: nothing is hashed, and
        nobody has to hold on to the key itself.
        """
        now = self._entries.get(entry.id)
        same = now is not None and (now.salt, now.hash) == (entry.salt, entry.hash)
        return now if same else None


def parse_keys(text: str) -> Keys:
    """Read a file of keys.

    Raises:
        KeysError: It is not TOML, or an entry is not as `KeyEntry` has it, or two have the same id.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > _MAX_DOTS_A_LINE:
            raise KeysError([f"is not a file of keys: line {number} has more than {_MAX_DOTS_A_LINE} dots"])
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise KeysError(["is not a file of keys: it is nested too deeply"]) from None
    except ValueError as error:  # besides bad TOML, numbers of thousands of digits
        raise KeysError([f"is not TOML: {_shortened(str(error))}"]) from None
    problems = [
        f"{_shortened(name)}: no such table; allowed: [[keys]]" for name in document if name != "keys"
    ]
    tables = document.get("keys", [])
    if not isinstance(tables, list):
        raise KeysError([*problems, "keys: is not a list of tables; allowed: [[keys]], once for each key"])
    entries: list[KeyEntry] = []
    for number, table in enumerate(tables, 1):
        name = table.get("id") if isinstance(table, dict) else None
        where = f"key {_shortened(name) if isinstance(name, str) else number}"
        try:
            entries.append(KeyEntry.model_validate(table))
        except ValidationError as error:
            problems += _problems(error, f"{where}: ")
        except RecursionError:  # pydantic walks into what is nested
            problems.append(f"{where}: is nested too deeply")
    problems += [
        f"key {name}: {count} entries have this id"
        for name, count in sorted(Counter(entry.id for entry in entries).items())
        if count > 1
    ]
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        raise KeysError([*problems[:_MAX_PROBLEMS], *([f"and {more} more problems"] if more > 0 else ())])
    return Keys(entries)


def _id_of(key: str) -> str | None:
    """The id in a text of the form of a key."""
    start, end = len(KEY_PREFIX), len(key) - _SECRET_CHARS - len(_SEPARATOR)
    well_formed = key.startswith(KEY_PREFIX) and start < end and key[end] == _SEPARATOR
    return key[start:end] if well_formed and len(key) <= _MAX_KEY_CHARS else None


def _problems(error: ValidationError, where: str) -> list[str]:
    # Not the values: they are hashes at best, and keys where someone mixed things up.
    return [
        f"{where}{'.'.join(map(str, fault['loc'])) or 'entry'}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        for fault in error.errors(include_input=False, include_url=False)
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_KEY_CHARS else f"{text[:_MAX_KEY_CHARS]}..."


def _digest(salt: str, key: str) -> bytes:
    # Whatever characters were presented; a surrogate is not one that could be encoded otherwise.
    encoded = key.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, key=bytes.fromhex(salt), digest_size=_HASH_BYTES).digest()
