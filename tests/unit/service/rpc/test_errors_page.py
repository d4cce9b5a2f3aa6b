"""The page on failures is the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from docs.site.errors_page import errors_page
from service.core.errors import MaskweaveError
from service.rpc.status import STATUS_CODES, describe, rich_status
from tests.unit.service.rpc.test_failures import SAMPLES

PAGE = Path(__file__).parents[4] / "docs" / "errors.md"
KINDS = [kind for kind in STATUS_CODES if issubclass(kind, MaskweaveError)]


def test_the_page_is_what_the_table_gives() -> None:
    assert PAGE.read_text() == errors_page(), "make errors-page"


@pytest.mark.parametrize("kind", KINDS)
def test_every_failure_has_a_row(kind: type[MaskweaveError]) -> None:
    row = next(line for line in errors_page().splitlines() if line.startswith(f"| `{kind.reason}` |"))
    assert f"| {STATUS_CODES[kind].name} |" in row


@pytest.mark.parametrize("kind", KINDS)
def test_the_details_that_are_promised_are_sent_and_no_others(kind: type[MaskweaveError]) -> None:
    error = SAMPLES[kind]
    status = rich_status(describe(error), error, "id")
    sent = {detail.TypeName().rpartition(".")[2] for detail in status.details}
    named = {name for name in vars(error_details_pb2) if f"`{name}`" in kind.details}
    optional = {"RetryInfo"} if "when it can be said" in kind.details else set()
    always = {"ErrorInfo", "RequestInfo"} | (named - optional)
    assert always <= sent <= always | optional
