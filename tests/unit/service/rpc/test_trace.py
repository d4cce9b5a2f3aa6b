"""Which trace contexts are passed on."""

from __future__ import annotations

import pytest

from service.rpc.interceptors import trace_context

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_context_is_passed_on_with_its_state_and_without_other_metadata() -> None:
    metadata = {"traceparent": GOOD, "tracestate": "vendor=1", "user-agent": "x"}
    assert trace_context(metadata) == {"traceparent": GOOD, "tracestate": "vendor=1"}


def test_a_state_is_not_needed() -> None:
    assert trace_context({"traceparent": GOOD}) == {"traceparent": GOOD}


def test_a_later_version_may_say_more() -> None:
    later = "01" + GOOD[2:] + "-more"
    assert trace_context({"traceparent": later}) == {"traceparent": later}


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "ff" + GOOD[2:],
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "0",
        GOOD + "-more",
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
        GOOD + "\n",
        b"bytes",
    ],
)
def test_a_malformed_parent_is_passed_over_and_its_state_with_it(malformed: str | bytes) -> None:
    assert trace_context({"traceparent": malformed, "tracestate": "vendor=1"}) == {}


@pytest.mark.parametrize(
    "state", ["", "v=" + "1" * 511, b"v=1", "v=\0", "v=\n", "v=1\n", "v=\x7f", "v=\x80", "v=\u00e9"]
)
def test_a_state_that_need_not_be_carried_is_left_out(state: str | bytes) -> None:
    assert trace_context({"traceparent": GOOD, "tracestate": state}) == {"traceparent": GOOD}
