"""How the tests are shared out: a worker that crashes costs the test in which it did, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.scheduling import WAITING

ROOT = Path(__file__).parents[2]
FILES, TESTS = 8, 3
# One in the first groups, one after others are done, and the last of all, when nobody else has anything to do.
CRASHES = {(0, 1), (5, 0), (FILES - 1, TESTS - 1)}
CONFTEST = """
from tests.support.scheduling import Scheduling


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return Scheduling(config, log)
"""


def write_tests(folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONFTEST)
    for file in range(FILES):
        bodies = ["os._exit(3)" if (file, test) in CRASHES else "pass" for test in range(TESTS)]
        functions = [f"def test_{number}():\n    {body}\n" for number, body in enumerate(bodies)]
        (folder / f"test_{file}.py").write_text("\n".join(["import os\n", *functions]))


def test_a_worker_that_crashes_costs_one_test_and_holds_up_nobody(tmp_path: Path) -> None:
    write_tests(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "xdist.plugin", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # five workers come up, with nothing that these need not
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f"{len(CRASHES)} failed, {FILES * TESTS - len(CRASHES)} passed" in done.stdout, done.stdout
    for file, test in CRASHES:
        assert f"crashed while running 'test_{file}.py::test_{test}'" in done.stdout


def test_every_group_that_waits_is_there() -> None:
    for group in WAITING:
        assert (ROOT / group).exists(), group
