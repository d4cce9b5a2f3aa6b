"""How the client speaks to the service: sizes, keepalive, balancing and retries of its channels."""

from __future__ import annotations

import json
import re

from maskweave_client._retry import Retry

DEFAULT_TIMEOUT_SECONDS = 30.0
"""Deadline of a call that names none."""

CLOSED = "The client is closed; make another one."

REQUEST_ID = "x-request-id"
AUTHORIZATION = "authorization"

_MAX_MESSAGE_BYTES = 64 * 2**20

_LOOPBACK = re.compile(r"(?:.*[/:])?(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")

_KEY_FORM = re.compile(r"[\x21-\x7e]+")

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    # A reply of many raw images is larger than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # Finds out about a dead peer behind a silent network while a call is in progress, however long nothing is
    # said (an idle painting). The service permits a ping every 10 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
)

_NOT_RETRIED = (("grpc.enable_retries", 0),)


def channel_options(target: str, retry: Retry | None) -> tuple[tuple[str, int | str], ...]:
    """Options of the client's channel to `target`."""
    options = (*_OPTIONS, ("grpc.service_config", json.dumps(_service_config(retry))))
    if retry is None:
        options += _NOT_RETRIED
    if _LOOPBACK.fullmatch(target):
        # gRPC follows `http_proxy` even to this machine, where no proxy leads.
        options += (("grpc.enable_http_proxy", 0),)
    return options


def _service_config(retry: Retry | None) -> dict[str, object]:
    """How gRPC balances, and tries again what it can: calls that the service cannot be reached for."""
    # Spreads calls over all addresses of a name, which with DNS are the service's replicas.
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retry is not None and retry.attempts > 1:
        # Only what is sure not to have been done, or to give the same when done twice. CANCELLED is what gRPC
        # tells calls that cross the shutdown of a server; what the caller cancels ends here at once. Not
        # RESOURCE_EXHAUSTED: gRPC would try it again also when the service has not said when: see _retry.
        policy = {
            "maxAttempts": retry.attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
        config["methodConfig"] = [
            {"name": [{"service": "maskweave.v1.SynthesisService"}], "retryPolicy": policy}
        ]
    return config


def metadata(api_key: str | None, request_id: str | None) -> tuple[tuple[str, str], ...]:
    """The request's metadata."""
    key = () if api_key is None else ((AUTHORIZATION, f"Bearer {api_key}"),)
    return key if request_id is None else (*key, (REQUEST_ID, request_id))


def check_api_key(api_key: str | None, target: str, *, encrypted: bool, allow_insecure: bool) -> None:
    """Refuse a key that cannot be sent, or that whoever listens on the way to `target` could read.

    Raises:
        ValueError: It is one of these. The message does not have the key.
    """
    if api_key is None:
        return
    if not _KEY_FORM.fullmatch(api_key):
        raise ValueError("api_key: got something that is not a key; allowed: visible ASCII without spaces")
    if not (encrypted or allow_insecure or _LOOPBACK.fullmatch(target)):
        raise ValueError(
            f"api_key: would be sent to {target} unencrypted; allowed: with credentials, to this machine, or "
            "with allow_insecure_key=True where something else encrypts"
        )
