from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.diagnostics import Diagnostics
from service.engine.base import TensorSpec
from service.engine.embedded.config_reader import read_model_config
from service.engine.embedded.model_config import HONOURED, IGNORED, ModelConfig, VersionPolicy
from tests.support.model_repository import ensemble_config, onnx_config, step_text, tensor_text

STEP = step_text("head", {"IN": "IN"}, {"OUT": "OUT"})


def _read(directory: Path, text: str | bytes) -> tuple[ModelConfig | None, list[str]]:
    file = directory / "stage" / "config.pbtxt"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    diagnostics = Diagnostics()
    config = read_model_config(file, diagnostics)
    return config, [str(problem).replace(f"{directory}/", "") for problem in diagnostics.problems]


def _accepted(directory: Path, text: str) -> ModelConfig:
    config, problems = _read(directory, text)
    assert problems == []
    assert config is not None
    return config


def test_reads_every_field_it_honours(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "labels.txt").write_text("face\n")
    text = """
        name: "stage"  # as the directory
        backend: "onnxruntime"
        max_batch_size: 16
        default_model_filename: "net.onnx"
        input [ { name: "MAP" data_type: TYPE_UINT8 dims: [ 64, -1 ] format: FORMAT_NONE } ]
        output { name: "SCORE" data_type: TYPE_FP32 dims: [ 20 ] label_filename: "labels.txt" }
        version_policy: { specific: { versions: [ 3, 1 ] } }
        instance_group [ { kind: KIND_CPU count: 3 } ]
        parameters { key: "intra_op_thread_count" value: { string_value: "2" } }
        parameters { key: "inter_op_thread_count" value: { string_value: "4" } }
        parameters { key: "execution_mode" value: { string_value: "1" } }
        parameters { key: "enable_mem_arena" value: { string_value: "0" } }
        parameters { key: "enable_mem_pattern" value: { string_value: "false" } }
        parameters { key: "maskweave.pack" value: { string_value: "faces64" } }
        response_cache { enable: true }
        model_transaction_policy { decoupled: false }
        model_warmup [ {
            name: "once" batch_size: 2 count: 3
            inputs { key: "MAP" value: { data_type: TYPE_UINT8 dims: [ 64, 64 ] zero_data: true } }
        } ]
    """
    config = _accepted(tmp_path, text)
    assert (config.name, config.max_batch_size, config.model_filename) == ("stage", 16, "net.onnx")
    (tensor,) = config.inputs
    assert tensor == TensorSpec("MAP", np.dtype(np.uint8), (64, -1))
    assert config.outputs[0].dtype == np.float32
    assert config.version_policy == VersionPolicy("specific", versions=(1, 3))
    session = config.session
    assert (session.intra_op_threads, session.inter_op_threads) == (2, 4)
    assert (session.parallel, session.memory_arena, session.memory_pattern) == (True, False, False)
    assert config.parameters["maskweave.pack"] == "faces64"
    assert config.response_cache
    (sample,) = config.warmups
    assert (sample.name, sample.batch_size, sample.count) == ("once", 2, 3)
    assert (sample.inputs[0].source, sample.inputs[0].spec.shape) == ("zero", (64, 64))


def test_reads_the_steps_of_an_ensemble(tmp_path: Path) -> None:
    steps = [step_text("head", {"IN": "IN"}, {"OUT": "h"}), step_text("tail", {"IN": "h"}, {"OUT": "OUT"}, 2)]
    config = _accepted(tmp_path, ensemble_config(steps))
    assert [(step.model, step.version) for step in config.steps] == [("head", -1), ("tail", 2)]
    assert (config.steps[1].inputs, config.steps[1].outputs) == ({"IN": "h"}, {"OUT": "OUT"})


@pytest.mark.parametrize(
    "text",
    [
        "dynamic_batching { max_queue_delay_microseconds: 100 priority_levels: 2 default_priority_level: 1 }",
        'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }',
        'cc_model_filenames { key: "8.0" value: "model.plan" }',
        'metric_tags { key: "team" value: "faces" }',
        "model_metrics { }",
        "instance_group [ { count: 1 }, { count: 2 kind: KIND_CPU } ]",
        "instance_group { kind: KIND_CPU }",
        'parameters { key: "unknown_to_everyone" value: { string_value: "x" } }',
    ],
)
def test_accepts_what_only_matters_elsewhere(tmp_path: Path, text: str) -> None:
    _accepted(tmp_path, onnx_config(extra=text))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy("latest", count=1)),
        ("version_policy { latest { num_versions: 3 } }", VersionPolicy("latest", count=3)),
        ("version_policy { all { } }", VersionPolicy("all")),
    ],
)
def test_version_policies(tmp_path: Path, text: str, policy: VersionPolicy) -> None:
    assert _accepted(tmp_path, onnx_config(extra=text)).version_policy == policy


def _warmup(inputs: str, batch_size: int = 1) -> str:
    return onnx_config(extra=f'model_warmup {{ name: "w" batch_size: {batch_size} {inputs} }}')


REFUSALS = {
    "no backend": (
        'input { name: "A" data_type: TYPE_FP32 dims: 4 } output { name: "B" data_type: TYPE_FP32 dims: 4 }',
        "backend: is missing; allowed: 'onnxruntime'",
    ),
    "another backend": (
        onnx_config().replace("onnxruntime", "python"),
        "backend: got 'python'; allowed: 'onnxruntime'",
    ),
    "another platform": (
        onnx_config().replace('backend: "onnxruntime"', 'platform: "tensorrt_plan"'),
        "platform: got 'tensorrt_plan'; allowed: 'ensemble', 'onnxruntime_onnx'",
    ),
    "another name": (
        onnx_config(extra='name: "other"'),
        "name: got 'other'; allowed: 'stage', the directory's name",
    ),
    "sequence batching": (
        onnx_config(extra="sequence_batching { }"),
        "sequence_batching: is not supported by the embedded engine; allowed: leave it out",
    ),
    "decoupled": (
        onnx_config(extra="model_transaction_policy { decoupled: true }"),
        "model_transaction_policy.decoupled: got true; allowed: false: one reply per request",
    ),
    "reshape": (
        onnx_config().replace("dims: [ 4 ]", "dims: [ 4 ] reshape { shape: [ ] }", 1),
        "input[0].reshape: is not supported by the embedded engine; allowed: leave it out",
    ),
    "optional input": (
        onnx_config().replace("dims: [ 4 ]", "dims: [ 4 ] optional: true", 1),
        "input[0].optional: is not supported by the embedded engine; allowed: leave it out",
    ),
    "negative batch": (
        onnx_config(max_batch_size=-1),
        "max_batch_size: got -1; allowed: 0 or more",
    ),
    "no inputs": (
        onnx_config(inputs=()),
        "input: got none; allowed: one tensor or more",
    ),
    "no outputs": (
        onnx_config(outputs=()),
        "output: got none; allowed: one tensor or more",
    ),
    "nameless tensor": (
        onnx_config(inputs=("IN", "")),
        "input[1].name: is missing; allowed: the tensor's name",
    ),
    "name twice": (
        onnx_config(inputs=("IN", "IN")),
        "input[1].name: 'IN' stands here twice; allowed: different names",
    ),
    "no dims": (
        onnx_config().replace("dims: [ 4 ]", "", 1),
        "input[0].dims: got none; allowed: the size of each dimension but the batch's",
    ),
    "bad size": (
        onnx_config().replace("dims: [ 4 ]", "dims: [ 4, -2 ]", 1),
        "input[0].dims: got -2; allowed: sizes of 1 or more, or -1 for any",
    ),
    "no labels file": (
        onnx_config().replace('name: "OUT"', 'name: "OUT" label_filename: "labels.txt"'),
        "output[0].label_filename: there is no file 'labels.txt'; allowed: a file in the model's directory",
    ),
    "GPU instances": (
        onnx_config(extra="instance_group { kind: KIND_GPU count: 1 }"),
        "instance_group[0].kind: got KIND_GPU; allowed: KIND_CPU, KIND_AUTO: this engine has no GPU",
    ),
    "instances of certain GPUs": (
        onnx_config(extra="instance_group { count: 1 gpus: [ 0 ] }"),
        "instance_group[0].gpus: is not supported by the embedded engine; allowed: leave it out",
    ),
    "negative instances": (
        onnx_config(extra="instance_group { count: -1 }"),
        "instance_group[0].count: got -1; allowed: 1 or more",
    ),
    "threads in words": (
        onnx_config(extra='parameters { key: "intra_op_thread_count" value { string_value: "two" } }'),
        "parameters[\"intra_op_thread_count\"]: got 'two'; allowed: an integer from 0 to 256",
    ),
    "execution mode": (
        onnx_config(extra='parameters { key: "execution_mode" value { string_value: "2" } }'),
        "parameters[\"execution_mode\"]: got '2'; allowed: an integer from 0 to 1",
    ),
    "memory arena": (
        onnx_config(extra='parameters { key: "enable_mem_arena" value { string_value: "yes" } }'),
        "parameters[\"enable_mem_arena\"]: got 'yes'; allowed: 0, 1, false, true",
    ),
    "no specific version": (
        onnx_config(extra="version_policy { specific { } }"),
        "version_policy.specific.versions: got none; allowed: one version or more",
    ),
    "latest none": (
        onnx_config(extra="version_policy { latest { num_versions: 0 } }"),
        "version_policy.latest.num_versions: got 0; allowed: 1 or more",
    ),
    "warm-up without inputs": (
        _warmup(""),
        "model_warmup[0].inputs: got none; allowed: IN",
    ),
    "warm-up without data": (
        _warmup('inputs { key: "IN" value { data_type: TYPE_FP32 dims: 4 } }'),
        'model_warmup[0].inputs["IN"]: says nothing of the data; '
        "allowed: zero_data, random_data, input_data_file",
    ),
    "warm-up of any size": (
        _warmup('inputs { key: "IN" value { data_type: TYPE_FP32 dims: -1 zero_data: true } }'),
        'model_warmup[0].inputs["IN"].dims: got -1; allowed: the exact sizes of the data',
    ),
    "warm-up batch": (
        _warmup('inputs { key: "IN" value { data_type: TYPE_FP32 dims: 4 zero_data: true } }', batch_size=9),
        "model_warmup[0].batch_size: got 9; allowed: 1 to 8, as max_batch_size says",
    ),
    "ensemble without steps": (
        ensemble_config([]),
        "ensemble_scheduling.step: got none; allowed: one step or more",
    ),
    "steps on another platform": (
        ensemble_config([STEP]).replace('"ensemble"', '"onnxruntime_onnx"'),
        "platform: got 'onnxruntime_onnx' with ensemble_scheduling; allowed: 'ensemble'",
    ),
    "ensemble with instances": (
        ensemble_config([STEP], extra="instance_group { count: 1 }"),
        "instance_group: is set on an ensemble; allowed: leave it out: its steps have their own",
    ),
    "step version": (
        ensemble_config([step_text("head", {"IN": "IN"}, {"OUT": "OUT"}, version=-2)]),
        "ensemble_scheduling.step[0].model_version: got -2; allowed: -1 for the newest, or a version",
    ),
    "step namespace": (
        ensemble_config([step_text("head", {"IN": "IN"}, {"OUT": "OUT"}, extra='model_namespace: "x"')]),
        "ensemble_scheduling.step[0].model_namespace: "
        "is not supported by the embedded engine; allowed: leave it out",
    ),
}


@pytest.mark.parametrize(("text", "problem"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refuses_with_file_field_value_and_what_is_allowed(tmp_path: Path, text: str, problem: str) -> None:
    config, problems = _read(tmp_path, text)
    assert config is None
    assert problems == [f"stage/config.pbtxt: {problem}"]


def test_a_string_tensor_is_refused_with_the_types_there_are(tmp_path: Path) -> None:
    text = onnx_config(inputs=()) + tensor_text("input", "IN", "TYPE_STRING")
    _, problems = _read(tmp_path, text)
    assert problems[0].startswith(
        "stage/config.pbtxt: input[0].data_type: got TYPE_STRING; allowed: TYPE_BOOL"
    )


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    _, problems = _read(tmp_path, 'backend: "onnxruntime"\nmax_bach_size: 8\n')
    assert len(problems) == 1
    assert problems[0].startswith("stage/config.pbtxt: line 2: ")
    assert "max_bach_size" in problems[0]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    _, problems = _read(tmp_path, onnx_config(outputs=(), max_batch_size=-1, extra="sequence_batching { }"))
    assert len(problems) == 3


def test_a_missing_file_and_bytes_that_are_no_text_are_problems(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    assert read_model_config(tmp_path / "stage" / "config.pbtxt", diagnostics) is None
    assert "the file is missing" in str(diagnostics.problems[0])
    _, problems = _read(tmp_path, b"name: \xff")
    assert "is not UTF-8 at byte 6" in problems[0]


def test_every_ignored_field_has_a_reason_and_none_is_honoured_as_well() -> None:
    for message, fields in IGNORED.items():
        assert all(fields.values())
        assert HONOURED[message].isdisjoint(fields)


PIECES = st.sampled_from(
    [
        onnx_config(),
        ensemble_config([STEP]),
        tensor_text("input", "X", "TYPE_STRING", "-1, 0"),
        "{ } [ ] : ",
        "max_batch_size: 99999999999",
        'parameters { key: "execution_mode" }',
        "instance_group { count: 2147483647 }",
        "model_warmup { }",
        "version_policy { }",
        "input { }",
        "\x00",
    ]
)


@given(st.lists(PIECES | st.text(max_size=20), max_size=5))
def test_whatever_a_config_says_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    directory = tmp_path_factory.getbasetemp() / "wild"
    directory.mkdir(exist_ok=True)
    config, problems = _read(directory, "\n".join(pieces).encode("utf-8", "surrogatepass"))
    assert (config is None) == bool(problems)
