"""How a process ends while a worker thread is in the middle of C++ code."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.support.model_repository import affine_model

PROGRAM = """
import asyncio, logging, sys
import numpy as np, onnxruntime
from service.core.log_lines import configure_logging
from service.engine.workers import Workers, exit_process

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
inputs = {"IN": np.ones((4096, 4), np.float32)}

begun = []

def never_looks_at_its_token(token):
    begun.append(token)
    while True:
        session.run(["OUT"], inputs)

async def main():
    workers = Workers(2, "stuck")
    runs = [asyncio.create_task(workers.run(never_looks_at_its_token)) for _ in range(2)]
    while len(begun) < len(runs):
        await asyncio.sleep(0.01)
    print("ended" if await workers.close(0) else "left behind")
    await asyncio.wait(runs)
    print(*(type(run.exception()).__name__ for run in runs))

configure_logging("info", "text")
asyncio.run(main())
for number in range(500):  # more than are written before it ends
    logging.getLogger("tests").info("line", extra={"number": number})
exit_process(3)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(affine_model(2, 1), str(tmp_path / "model.onnx"))
    return tmp_path / "model.onnx"


def test_a_process_ends_with_its_own_status_beside_threads_that_nothing_interrupts(model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "left behind\nUnavailable Unavailable\n"
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert [line.partition(" line ")[2] for line in lines] == [f"number={number}" for number in range(500)]
