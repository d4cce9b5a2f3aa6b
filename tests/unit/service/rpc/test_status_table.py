import asyncio
import re

import grpc
import pytest

from service.core.diagnostics import RepositoryError, RepositoryProblem
from service.core.errors import (
    DeadlineExceeded,
    EngineFailure,
    EngineUnreachable,
    InvalidArgument,
    MaskweaveError,
    MessageTooLarge,
    ModelNotReady,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    SessionIdle,
    Unauthenticated,
    Unavailable,
)
from service.rpc.status import STATUS_CODES, describe

EXAMPLES: list[tuple[MaskweaveError, grpc.StatusCode]] = [
    (InvalidArgument("images", 0, "1 to 16"), grpc.StatusCode.INVALID_ARGUMENT),
    (NotFound("model", "facez", ["faces64"]), grpc.StatusCode.NOT_FOUND),
    (DeadlineExceeded("faces64: not done within 1 s."), grpc.StatusCode.DEADLINE_EXCEEDED),
    (SessionIdle("No message has come for 300 s."), grpc.StatusCode.DEADLINE_EXCEEDED),
    (
        Overloaded("64 requests are in progress.", retry_after_seconds=0.5, cause="rpcs"),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ),
    (Unauthenticated("This needs a key."), grpc.StatusCode.UNAUTHENTICATED),
    (PermissionDenied("studio", ["edit"], ["synthesize"]), grpc.StatusCode.PERMISSION_DENIED),
    (QuotaExceeded("studio", "requests_per_second", 5, 0.2), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (MessageTooLarge(2**24), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Unavailable("The engine is not running."), grpc.StatusCode.UNAVAILABLE),
    (EngineUnreachable("Triton is away.", retry_after_seconds=1), grpc.StatusCode.UNAVAILABLE),
    (ModelNotReady("faces64 is not ready.", retry_after_seconds=1), grpc.StatusCode.UNAVAILABLE),
    (EngineFailure("model at /secret/path failed"), grpc.StatusCode.INTERNAL),
    (RepositoryError([RepositoryProblem("/secret/path", "", "x", "y")]), grpc.StatusCode.INTERNAL),
]


def _subclasses(kind: type[MaskweaveError]) -> set[type[MaskweaveError]]:
    return {kind for child in kind.__subclasses__() for kind in {child, *_subclasses(child)}}


def test_every_error_class_is_in_the_table_and_in_these_examples() -> None:
    kinds = _subclasses(MaskweaveError)
    assert kinds <= STATUS_CODES.keys()
    assert kinds == {type(error) for error, _ in EXAMPLES}


def test_reasons_are_unique_upper_snake_names() -> None:
    reasons = [kind.reason for kind in _subclasses(MaskweaveError)]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[A-Z][A-Z_]+[A-Z]", reason) for reason in reasons)


@pytest.mark.parametrize(("error", "code"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_describe_gives_the_code_and_reason_of_each_class(
    error: MaskweaveError, code: grpc.StatusCode
) -> None:
    failure = describe(error)
    assert (failure.code, failure.reason) == (code, error.reason)


@pytest.mark.parametrize(
    "error", [EngineFailure("/secret/path"), ValueError("/secret/path"), RuntimeError("/secret/path")]
)
def test_internal_failures_tell_nothing_of_their_cause(error: Exception) -> None:
    failure = describe(error)
    assert failure.code is grpc.StatusCode.INTERNAL
    assert "secret" not in f"{failure.message}{failure.metadata}"


def test_errors_of_the_caller_say_field_value_and_what_is_allowed() -> None:
    failure = describe(InvalidArgument("label_map.png", "16-bit grey", "8-bit palette or grey"))
    assert failure.message == "label_map.png: got 16-bit grey; allowed: 8-bit palette or grey"
    assert failure.metadata == {"field": "label_map.png"}


def test_a_refused_key_is_told_its_scopes_and_those_it_needs() -> None:
    failure = describe(PermissionDenied("studio", ["edit", "admin"], ["synthesize"]))
    assert failure.message == "The key 'studio' has the scopes admin, edit; this needs synthesize."
    assert failure.metadata == {"key_id": "studio", "needed_scopes": "synthesize"}


def test_a_met_quota_says_which_and_how_much() -> None:
    failure = describe(QuotaExceeded("studio", "requests_per_second", 2.5, 0.2))
    assert failure.message == "The key 'studio' is at its limit: requests_per_second 2.5."
    assert failure.metadata == {"key_id": "studio", "quota": "requests_per_second", "limit": "2.5"}


def test_not_found_lists_what_exists() -> None:
    failure = describe(NotFound("model", "facez", ["b", "a"]))
    assert failure.message == "model 'facez' does not exist; available: a, b"
    assert failure.metadata == {"resource_type": "model", "resource_name": "facez"}


@pytest.mark.parametrize(
    "error", [InvalidArgument("page_token", "x" * 9000, "y"), NotFound("model", "x" * 9000, ["y"])], ids=repr
)
def test_long_values_of_callers_are_shortened(error: MaskweaveError) -> None:
    failure = describe(error)
    assert len(f"{failure.message}{failure.metadata}") < 500
    assert "xxx... (9000 characters)" in failure.message


def test_a_cancelled_request_is_not_an_internal_failure() -> None:
    assert describe(asyncio.CancelledError()).code is grpc.StatusCode.CANCELLED


def test_a_subclass_gets_the_code_of_its_parent() -> None:
    class BadImage(InvalidArgument):
        pass

    assert describe(BadImage("png", "x", "y")).code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_repository_error_prints_every_problem_on_its_own_line() -> None:
    problems = [
        RepositoryProblem("a/config.pbtxt", "backend", "got 'x'", "'onnxruntime'"),
        RepositoryProblem("b", "", "has no version", "a directory"),
    ]
    assert str(RepositoryError(problems)).splitlines() == [
        "The model repository cannot be served, 2 problems:",
        "  a/config.pbtxt: backend: got 'x'; allowed: 'onnxruntime'",
        "  b: has no version; allowed: a directory",
    ]
