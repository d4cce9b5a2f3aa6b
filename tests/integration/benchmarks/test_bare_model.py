"""The bare ensemble runs real ONNX files, wired as their configs say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.bare_model import BareEnsemble

ENSEMBLE = """
name: "pipeline"
platform: "ensemble"
max_batch_size: 16
input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "adder"
      model_version: -1
      input_map { key: "INPUT" value: "doubled" }
      output_map { key: "OUTPUT" value: "Y" }
    },
    {
      model_name: "doubler"
      model_version: -1
      input_map { key: "INPUT" value: "X" }
      output_map { key: "OUTPUT" value: "doubled" }
    }
  ]
}
"""

STAGE = """
name: "{name}"
backend: "onnxruntime"
max_batch_size: 16
input [ {{ name: "INPUT" data_type: TYPE_FP32 dims: [ 3 ] }} ]
output [ {{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ 3 ] }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
"""


def write_stage(repository: Path, name: str, operator: str, constant: float, version: int = 1) -> None:
    """A stage that applies a binary operator with a constant to its input."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["INPUT", "constant"], ["OUTPUT"])],
        name,
        [helper.make_tensor_value_info("INPUT", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("OUTPUT", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("constant", TensorProto.FLOAT, [], [constant])],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    directory = repository / name / str(version)
    directory.mkdir(parents=True)
    onnx.save(model, directory / "model.onnx")
    (repository / name / "config.pbtxt").write_text(STAGE.format(name=name))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose ensemble computes 2 x + 1, its steps listed in the wrong order."""
    write_stage(tmp_path, "doubler", "Mul", 2.0)
    write_stage(tmp_path, "adder", "Add", 1.0)
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "config.pbtxt").write_text(ENSEMBLE)
    return tmp_path


def test_stages_run_in_the_order_of_the_data(repository: Path) -> None:
    ensemble = BareEnsemble(repository, "pipeline", threads=1)
    inputs = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    run = ensemble.run({"X": inputs})
    np.testing.assert_array_equal(run.outputs["Y"], inputs * 2 + 1)
    assert list(run.stage_seconds) == ["doubler", "adder"]
    assert all(seconds > 0 for seconds in run.stage_seconds.values())
    assert run.seconds == sum(run.stage_seconds.values())


def test_newest_version_runs(repository: Path) -> None:
    write_stage(repository, "adder", "Add", 100.0, version=10)
    write_stage(repository, "adder", "Add", 50.0, version=9)
    run = BareEnsemble(repository, "pipeline", threads=1).run({"X": np.zeros((1, 3), np.float32)})
    np.testing.assert_array_equal(run.outputs["Y"], np.full((1, 3), 100, np.float32))


def test_input_shapes_are_without_the_batch(repository: Path) -> None:
    assert BareEnsemble(repository, "pipeline", threads=1).input_shapes == {"X": (3,)}


def test_throughput_counts_every_thread(repository: Path) -> None:
    ensemble = BareEnsemble(repository, "pipeline", threads=1)
    passes = ensemble.throughput({"X": np.zeros((1, 3), np.float32)}, threads=2, seconds=0.05)
    assert passes > 0


def test_steps_that_wait_for_each_other_are_named(repository: Path) -> None:
    config = repository / "pipeline" / "config.pbtxt"
    config.write_text(config.read_text().replace('value: "X"', 'value: "Y"'))
    with pytest.raises(ValueError, match=r"pipeline: no step can run next of \['adder', 'doubler'\]"):
        BareEnsemble(repository, "pipeline", threads=1)
