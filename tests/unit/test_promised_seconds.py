"""Every figure in seconds in the pages for operators is a promise with a test that measures it, or none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from service.app import files, http, tracing
from service.app.server import _HELD_SECONDS, _MOST_HELD_SECONDS
from service.app.settings import Settings
from service.core.limits import CallLimits
from service.core.log_lines import FLUSH_SECONDS
from service.rpc.paint import _LAST_FRAME_SECONDS
from service.rpc.web import endpoint, socket_channel
from service.synthesis.canvas import _DRAW_SECONDS

ROOT = Path(__file__).parents[2]

# Without what was measured once, and when.
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").partition(end)[0]
    for name, end in (
        ("reliability", "## Fuzzing"),
        ("access", "\0"),
        ("operations", "\0"),
        ("web", "## What it costs"),
        ("logs", "\0"),
        ("errors", "\0"),
    )
}
FIGURE = re.compile(r"(?<![\w.,-])\d+(?:\.\d+)? (?:s|seconds)\b|fifth of a second")

CHECK_SECONDS = CallLimits().check_seconds
STUCK = "tests/chaos/test_stuck.py::test_a_stop_and_a_deadline_wait_for_no_decoder"
CHECKS = "tests/unit/service/rpc/test_health.py::test_a_check_whose_message_never_comes_ends_in_time"
SILENT = "tests/unit/service/app/test_http.py::test_who_never_ends_a_request_is_let_go"
UNREAD = "tests/integration/app/test_web_abuse.py::test_who_reads_nothing_is_let_go"
KEYLESS = (
    "tests/integration/app/test_web_abuse.py"
    "::test_a_socket_without_a_key_has_nothing_taken_in_and_is_closed_within_a_second"
)
LOG = "tests/chaos/test_stuck.py::test_a_log_that_nobody_reads_holds_up_nobody"
HELD = (
    "tests/unit/service/rpc/test_stopping.py::test_a_stop_with_nothing_to_do_takes_as_long_as_calls_are_held"
)
ALWAYS = "tests/unit/service/rpc/test_stopping.py::test_callers_who_never_rest_do_not_hold_up_a_stop"

# The page, what it says with {} for the figure, the figure (the code's, where it has a name there), the test.
PROMISES: list[tuple[str, str, float, str]] = [
    (
        "reliability",
        "ends it within {} s and with exit code 0",
        15,
        "tests/e2e/test_first_process.py::test_a_signal_during_the_start_ends_it",
    ),
    ("reliability", "Workers are left behind {} s after the grace", 1.5, STUCK),
    ("reliability", "or {} s later when a worker is", 1.5, STUCK),
    (
        "reliability",
        "Pings every {} s are allowed",
        10,
        "tests/e2e/test_keepalive.py::test_a_client_that_pings_every_ten_seconds_keeps_its_idle_session",
    ),
    (
        "reliability",
        "A frame draws for {} s",
        _DRAW_SECONDS,
        "tests/unit/service/synthesis/test_painting.py"
        "::test_what_takes_long_to_draw_is_left_to_the_next_frame",
    ),
    ("reliability", "4096 bytes, {} s, one check", CHECK_SECONDS, CHECKS),
    ("reliability", "waiting for up to {} s each", CHECK_SECONDS, CHECKS),
    ("reliability", "each for {} s at most; of more than 4096", CHECK_SECONDS, CHECKS),
    ("reliability", "nor the stop ({} s at most) waits for a reader", FLUSH_SECONDS, LOG),
    ("reliability", "up to {} s later when nobody", FLUSH_SECONDS, LOG),
    ("reliability", "| {} s, and 1024 of them", http.SILENT_SECONDS, SILENT),
    ("reliability", "silent for {} s at most", http.SILENT_SECONDS, SILENT),
    ("reliability", "and {} s when they read nothing", http.UNREAD_SECONDS, UNREAD),
    ("reliability", "{} s without anything being read", http.UNREAD_SECONDS, UNREAD),
    (
        "reliability",
        "{} s for the end of a call",
        endpoint.END_SECONDS,
        "tests/integration/app/test_web_abuse.py::test_who_does_not_take_in_how_a_call_ended_is_let_go",
    ),
    ("reliability", "all are gone after {} s", socket_channel.CLOSE_SECONDS, KEYLESS),
    ("reliability", "128 MiB, for {} s at most", socket_channel.CLOSE_SECONDS, KEYLESS),
    (
        "reliability",
        "or after {} s if it is not read",
        _LAST_FRAME_SECONDS,
        "tests/chaos/test_painters.py::test_sigterm_does_not_wait_for_painters",
    ),
    ("reliability", "until none has come for {} s, 1.5 s at most", _HELD_SECONDS, HELD),
    ("reliability", "0.3 s, {} s at most", _MOST_HELD_SECONDS, ALWAYS),
    ("reliability", "{} s later the held ones get", 0.05, HELD),
    (
        "reliability",
        "What is not done {} s before the end of",
        0.1,
        "tests/unit/service/rpc/test_stopping.py::test_a_call_that_outlasts_the_grace_is_told_so",
    ),
    ("logs", "it waits up to {} s for the last lines", FLUSH_SECONDS, LOG),
    (
        "access",
        "within {} s where the kernel",
        files.LOOK_SECONDS,
        "tests/unit/service/app/test_watching.py::test_without_notices_the_state_of_the_file_tells",
    ),
    (
        "operations",
        "and up to {} s at the stop",
        tracing._FLUSH_SECONDS,
        "tests/e2e/test_tracing.py::test_a_receiver_that_is_away_harms_nobody",
    ),
    (
        "operations",
        "`preStopSeconds` and {} seconds more",
        5,
        "tests/helm/test_design.py::test_the_grace_grows_with_the_settings",
    ),
]
# The same without a figure that could be read off the page.
IN_WORDS = [
    (
        "access",
        "quiet for a fifth of a second",
        files._QUIET_MS / 1000 == 1 / 5,
        "tests/unit/service/app/test_watching.py::test_a_notice_is_enough",
    )
]
NO_PROMISE = [
    ("reliability", "a margin of 2 s on a quiet machine"),
    ("reliability", "to 30 s at most."),
    ("reliability", "held the interpreter for 0.6 s"),
    ("reliability", "Latency buckets ended at 10 s, the default deadline is 30 s"),
    ("reliability", "for 0.2 s in which no call went on"),
    ("reliability", "some 0.2 s on one processor"),
    ("operations", "target of 1 and 6 seconds of work"),
    ("operations", "a step is one decision, 15 s apart"),
    ("operations", "0.04 s of work"),
    ("operations", "97 % busy over 1.0 s"),
    ("errors", "(30 s unless configured)"),
    ("errors", "else 0.1 s, doubled each time up to 2 s"),  # advice
]
SETTINGS = {
    "default_timeout_seconds": "tests/e2e/test_lifecycle.py::test_service_has_a_deadline_of_its_own",
    "message_timeout_seconds": "tests/unit/service/rpc/test_receiving.py"
    "::test_a_call_whose_message_never_comes_ends_in_time_and_is_counted",
    "paint_idle_timeout_seconds": "tests/e2e/test_paint.py::test_a_silent_session_is_ended",
    "keepalive_seconds": "tests/chaos/test_abuse.py::test_half_open_connections_are_let_go",
    "max_connection_age_seconds": "tests/e2e/test_lifecycle.py"
    "::test_a_connection_of_some_age_is_ended_without_losing_a_call",
    "shutdown_delay_seconds": "tests/e2e/test_lifecycle.py"
    "::test_it_stops_when_the_balancers_have_had_their_time",
    "shutdown_grace_seconds": "tests/e2e/test_lifecycle.py::test_sigterm_waits_no_longer_than_the_grace",
    "triton_startup_timeout_seconds": "tests/integration/engine/triton/test_protocol.py"
    "::test_a_server_that_never_gets_ready_ends_the_start",
}
NO_TIME_LIMIT = {"latency_target_seconds"}

# What measures: a clock of the test's own, or what the test waits through, or the machine's.
MEASURES = (
    "in_time(",
    "machine.check(",
    "perf_counter",
    "PAUSE_SECONDS",
    "terminationGracePeriodSeconds",
)


def said(phrase: str, figure: float | None = None) -> str:
    return phrase if figure is None else phrase.format(f"{figure:g}")


def test_every_figure_in_seconds_is_accounted_for() -> None:
    known = [(page, said(phrase, figure)) for page, phrase, figure, _ in PROMISES]
    known += [(page, phrase) for page, phrase, *_ in IN_WORDS] + NO_PROMISE
    for page, text in PAGES.items():
        flat = " ".join(text.split())
        spans = []
        for where, phrase in known:
            if where == page:
                found = [match.span() for match in re.finditer(re.escape(phrase), flat)]
                assert found, f"docs/{page}.md does not say: {phrase}"
                spans += found
        for match in FIGURE.finditer(flat):
            inside = any(start <= match.start() and match.end() <= end for start, end in spans)
            assert inside, f"docs/{page}.md: {flat[max(0, match.start() - 60) : match.end() + 30]}"


def test_figures_in_words_are_those_of_the_code() -> None:
    assert all(holds for _, _, holds, _ in IN_WORDS)


def test_every_setting_in_seconds_has_its_test() -> None:
    names = {name for name in Settings.model_fields if name.endswith("_seconds")}
    assert names == SETTINGS.keys() | NO_TIME_LIMIT


TESTS = sorted({each[3] for each in [*PROMISES, *IN_WORDS]} | set(SETTINGS.values()))


@pytest.mark.parametrize("test", TESTS)
def test_the_test_of_a_promise_measures(test: str) -> None:
    file, _, name = test.partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    (found,) = [
        each for each in ast.walk(ast.parse(source)) if isinstance(each, functions) and each.name == name
    ]
    segment = ast.get_source_segment(source, found) or ""
    assert any(measure in segment for measure in MEASURES)
