"""The machine's time is set while the gateway serves: no deadline, wait or cache goes by the wall clock."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, DeadlineExceeded, InvalidRequest
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.load import LABEL_MAP, Load, expected_images
from tests.support.slow_pack import SLOW_ONE_SECOND

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOURCE = Path(__file__).parents[1] / "support" / "wrong_clock.c"
HOUR, YEAR = 3600, 365 * 86400
SetClock = Callable[[int], None]


@pytest.fixture
def shifted(repository: Path, tmp_path: Path) -> Iterator[tuple[GatewayProcess, SetClock]]:
    """A gateway, and a function that sets its clock to so many seconds from the true time."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the library that shifts the clock")
    library, shift = tmp_path / "wrong_clock.so", tmp_path / "shift"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)

    def set_clock(seconds: int) -> None:
        with shift.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    shift.write_bytes(struct.pack("q", 0))
    environment = {"LD_PRELOAD": str(library), "WRONG_CLOCK_FILE": str(shift)}
    with gateway_process(repository, environment, worker_threads=2) as gateway:
        yield gateway, set_clock


def test_the_clock_jumps_back_and_forth(shifted: tuple[GatewayProcess, SetClock]) -> None:
    gateway, set_clock = shifted
    expected = expected_images(gateway)
    with Client(gateway.address) as client, Load(gateway, expected) as load:
        for jump in (HOUR, -HOUR, 10 * YEAR, -20 * YEAR, 0):
            set_clock(jump)
            load.wait_for("right", 20)
            with pytest.raises(DeadlineExceeded):
                client.synthesize(
                    "slow", np.zeros((4, 4), np.uint8), latents=[[SLOW_ONE_SECOND]], timeout=0.2
                )
            with pytest.raises(InvalidRequest):  # a line in the log
                client.synthesize("faces64", np.full((2, 2), 9, np.uint8))
            (image,) = client.synthesize("faces64", LABEL_MAP, seed=0, timeout=60).images
            assert image == expected[0]
    assert set(load.outcomes) == {"right"}
    # The log goes by the wall clock, and shows that it was set.
    years = {line[:4] for line in gateway.output.splitlines() if " call method=" in line}
    assert len(years) >= 3, years
    assert "Traceback" not in gateway.output
