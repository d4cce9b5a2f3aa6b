"""The margins of promises in seconds: they grow with the machine's load, and what is too late still fails."""

from __future__ import annotations

import time

import pytest

from tests.support.promises import MARGIN_SECONDS, MOST_SECONDS, Machine, in_time, watched_machine


def test_a_promise_that_is_kept_passes() -> None:
    with in_time(0.2, at_least=0.2):
        time.sleep(0.2)


def test_what_comes_too_late_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real measurement: however busy this machine is, ten times as late as allowed is found."""
    monkeypatch.setattr("tests.support.promises.MARGIN_SECONDS", 0.01)

    def late() -> None:
        with in_time(0.01):
            for _ in range(10):
                time.sleep(0.1)

    with pytest.raises(AssertionError, match="promised were"):
        late()


def test_what_comes_too_early_fails() -> None:
    with pytest.raises(AssertionError, match="at least 5 s"), in_time(10, at_least=5):
        pass


@pytest.mark.parametrize(
    ("machine", "margin"),
    [
        (Machine(), MARGIN_SECONDS),
        (Machine(stretch=3.0, late=0.5), 3 * MARGIN_SECONDS + 0.5),
        (Machine(stretch=100.0), MOST_SECONDS),
    ],
)
def test_the_margin_is_what_the_machine_explains(machine: Machine, margin: float) -> None:
    machine.check(1 + margin - 0.01, 1)
    with pytest.raises(AssertionError, match="times as slow"):
        machine.check(1 + margin + 0.01, 1)


def test_the_machine_is_measured() -> None:
    with watched_machine() as machine:
        time.sleep(0.3)
    assert 1 <= machine.stretch < 1000
    assert 0 <= machine.late < 60
