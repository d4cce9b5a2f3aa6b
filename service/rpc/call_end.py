"""The end of a call: what is counted, logged and traced of it, in one place."""

from __future__ import annotations

import logging

import grpc

from service.core.logging import redacted
from service.core.metrics import MethodMetrics, Rpc
from service.rpc.call import Call
from service.rpc.status import Failure, code_label

_logger = logging.getLogger(__name__)


def call_ended(call: Call, rpc: Rpc, method: MethodMetrics, failure: Failure | None, *, logged: bool) -> None:
    """Take note of a call's end.

    Args:
        call: The call.
        rpc: Its method.
        method: The metrics of the method.
        failure: What its caller was told; None after an answer.
        logged: Whether it has a line in the log.
    """
    code = grpc.StatusCode.OK if failure is None else failure.code
    seconds = call.elapsed_seconds
    trace = call.trace
    method.ended(code_label(code), seconds, trace.trace_id if trace.sampled else "")
    logged = logged and _logger.isEnabledFor(logging.INFO)
    if not (logged or trace.recorded):
        return
    facts = _facts(call, failure)
    if trace.recorded:
        trace.end(code.name, code.value[0], {"request_id": redacted(call.request_id), **facts})
    if logged:
        line = {"method": rpc.method, "code": code.name, "seconds": round(seconds, 6), **facts}
        if trace.trace_id:
            line["trace_id"] = trace.trace_id
        if failure is not None:
            line["problem"] = failure.message
        _logger.info("call", extra=line)


def _facts(call: Call, failure: Failure | None) -> dict[str, str | int | float]:
    facts: dict[str, str | int | float] = {}
    if failure is not None:
        facts["reason"] = failure.reason
    if call.key_id:
        facts["key"] = call.key_id
    facts["received_bytes"] = call.received_bytes
    facts["sent_bytes"] = call.sent_bytes
    timings = call.timings
    if timings.model:
        facts["model"] = timings.model
        facts["model_version"] = timings.model_version
        facts["images"] = timings.images
    if timings.images:
        facts["queue_seconds"] = round(timings.queue_wait, 6)
        facts["worker_seconds"] = round(timings.worker_wait, 6)
        facts["decode_seconds"] = round(timings.decode, 6)
        facts["stages_seconds"] = round(sum(stage.seconds for stage in timings.stages.values()), 6)
        facts["encode_seconds"] = round(timings.encode, 6)
        facts["cached_stages"] = sum(stage.cached for stage in timings.stages.values())
    return facts


def forget_frames(error: BaseException) -> None:
    """Let go of what the functions had in hand that a failure came through, its causes' likewise.

    gRPC keeps the failure that a call was ended with, and that failure the call: without this, its message,
    of up to `max_message_bytes` and several times that when parsed, stays until a full garbage collection.
    """
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and each.__traceback__ is not None:
            each.__traceback__ = None
            left += [each.__cause__, each.__context__]
