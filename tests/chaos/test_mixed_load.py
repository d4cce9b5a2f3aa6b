"""Everything that callers do at the same time, well or badly, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from benchmarks.soak_load import ALLOWED, MixedLoad
from tests.chaos.conftest import Unharmed
from tests.support.gateway_process import GatewayProcess
from tests.support.load import LABEL_MAP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 3.0


def test_whatever_callers_do_and_take_back_leaves_nothing_behind(
    gateway: GatewayProcess, unharmed_by: Unharmed
) -> None:
    """The load of the soak, for seconds: images, streams, cancelled calls, deadlines, bad requests."""
    outcomes: Counter[tuple[str, str]] = Counter()

    def ask() -> None:
        load = MixedLoad(gateway.address, "faces64", LABEL_MAP)
        asyncio.run(load.run(SECONDS))
        outcomes.update(load.take()[0])

    unharmed_by(ask)
    assert {kind for kind, _ in outcomes} == ALLOWED.keys()
    assert [outcome for outcome in outcomes if outcome[1] not in ALLOWED[outcome[0]]] == []
