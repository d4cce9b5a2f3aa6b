"""Who may call what: from the metadata of a call to the key it came with, and from a method to its scopes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from service.access.keys import KeyEntry, Keys, Scope
from service.access.quota import Quotas
from service.core.errors import PermissionDenied, Unauthenticated

AUTHORIZATION = "authorization"
API_KEY = "x-api-key"

_ANY = frozenset(Scope)

METHOD_SCOPES: Mapping[str, frozenset[Scope]] = {
    # Whatever one does with a model begins with looking at it.
    "ListModels": _ANY,
    "GetModel": _ANY,
    "Synthesize": frozenset({Scope.SYNTHESIZE}),
    "SynthesizeStream": frozenset({Scope.SYNTHESIZE}),
    "Paint": frozenset({Scope.SYNTHESIZE}),
    # What it reads is of use to whoever makes images, and to whoever edits theirs.
    "EncodeStyles": frozenset({Scope.SYNTHESIZE, Scope.EDIT}),
    # So is this, to begin with.
    "ReadLabelMap": frozenset({Scope.SYNTHESIZE, Scope.EDIT}),
    "Morph": frozenset({Scope.SYNTHESIZE}),
    "Edit": frozenset({Scope.EDIT}),
}
"""The one place that says which scopes a method of the service needs: one of those listed."""

_BEARER = "bearer "
_HOW = f"send the metadata `{AUTHORIZATION}: Bearer <key>`"

Metadata = Iterable[tuple[str, str | bytes]]


class Access:
    """Lets calls in by their keys.

    Args:
        keys: The keys that are accepted.
        quotas: Holds them to their limits.
    """

    def __init__(self, keys: Keys, quotas: Quotas | None = None) -> None:
        self._keys = keys
        self._quotas = quotas or Quotas()

    def accept(self, keys: Keys) -> None:
        """Accept these keys from now on, in place of those before. Calls in progress go on."""
        self._keys = keys
        self._quotas.keep_only(keys)

    def identify(self, metadata: Metadata | None) -> KeyEntry:
        """The key that a call came with.

        Raises:
            Unauthenticated: It came with none, or with one that is not known.
        """
        key = _presented(dict(metadata or ()))
        entry = self._keys.find(key)
        if entry is None:
            raise Unauthenticated(f"The key is not known here; {_HOW}.")
        return entry

    def permit(self, method: str, metadata: Metadata | None) -> KeyEntry:
        """The key that a call of a method of the service came with, if it is for that.

        Raises:
            Unauthenticated: It came with none, or with one that is not known.
            PermissionDenied: The key has none of the method's scopes.
        """
        entry = self.identify(metadata)
        needed = METHOD_SCOPES[method]
        if not needed & entry.scopes:
            raise PermissionDenied(entry.id, entry.scopes, needed)
        return entry

    @contextmanager
    def use(self, entry: KeyEntry) -> Iterator[None]:
        """Count a call as the key's inside this context.

        Raises:
            QuotaExceeded: The key is at one of its limits.
        """
        with self._quotas.use(entry):
            yield

    def check_session(self, entry: KeyEntry, method: str) -> None:
        """Check the key of a session once more, and count one frame of it as a request of the key.

        Raises:
            Unauthenticated: The key has been revoked since.
            PermissionDenied: It is no longer for this.
            QuotaExceeded: It is at its rate.
        """
        now = self._keys.current(entry)
        if now is None:
            raise Unauthenticated(f"The key {entry.id!r} has been revoked.")
        if not METHOD_SCOPES[method] & now.scopes:
            raise PermissionDenied(now.id, now.scopes, METHOD_SCOPES[method])
        self._quotas.charge(now)


def _presented(metadata: Mapping[str, str | bytes]) -> str:
    authorization = metadata.get(AUTHORIZATION)
    if isinstance(authorization, str):
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated(f"The metadata `{AUTHORIZATION}` is not of the form `Bearer <key>`.")
        return authorization[len(_BEARER) :].strip()
    key = metadata.get(API_KEY)
    if isinstance(key, str):
        return key.strip()
    raise Unauthenticated(f"This needs a key; {_HOW}.")
