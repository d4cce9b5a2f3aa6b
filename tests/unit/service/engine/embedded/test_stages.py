from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.diagnostics import Diagnostics
from service.engine.base import ANY_SIZE, TensorSpec
from service.engine.embedded.model_config import ModelConfig, SessionConfig, StepConfig, VersionPolicy
from service.engine.embedded.repository import ModelEntry, Repository
from service.engine.embedded.stages import EnsemblePlan, check_nesting, plan_ensemble

FLOAT = np.dtype(np.float32)
Tensors = Mapping[str, tuple[int, ...]]


def _specs(tensors: Tensors, dtype: np.dtype[np.generic] = FLOAT) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, dtype, shape) for name, shape in tensors.items())


def _config(
    name: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    steps: tuple[StepConfig, ...] = (),
    max_batch_size: int = 8,
) -> ModelConfig:
    return ModelConfig(
        file=Path(name) / "config.pbtxt",
        name=name,
        max_batch_size=max_batch_size,
        inputs=inputs,
        outputs=outputs,
        parameters={},
        version_policy=VersionPolicy(),
        model_filename="model.onnx",
        session=SessionConfig(),
        response_cache=False,
        warmups=(),
        steps=steps,
    )


HEAD = _config("head", _specs({"IN": (4,)}), _specs({"OUT": (4,), "EXTRA": (2, ANY_SIZE)}))
JOIN = _config("join", _specs({"LEFT": (4,), "RIGHT": (4,)}), _specs({"OUT": (4,)}))
BYTES = _config("bytes", _specs({"IN": (4,)}, np.dtype(np.uint8)), _specs({"OUT": (4,)}))
WIDE = _config("wide", _specs({"IN": (5,)}), _specs({"OUT": (4,)}))
SINGLE = _config("single", _specs({"IN": (4,)}), _specs({"OUT": (4,)}), max_batch_size=1)
UNBATCHED = _config(
    "unbatched", _specs({"IN": (ANY_SIZE, 4)}), _specs({"OUT": (ANY_SIZE, 4)}), max_batch_size=0
)
FIXED = _config("fixed", _specs({"IN": (4,)}), _specs({"OUT": (4,)}), max_batch_size=0)
ANY = _config("any", _specs({"IN": (2, 7)}), _specs({"OUT": (4,)}))
MODELS = {model.name: model for model in (HEAD, JOIN, BYTES, WIDE, SINGLE, UNBATCHED, FIXED, ANY)}


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str], version: int = -1) -> StepConfig:
    return StepConfig(model, version, inputs, outputs)


def _plan(
    *steps: StepConfig,
    inputs: Tensors | None = None,
    outputs: Tensors | None = None,
    broken: str = "",
    max_batch_size: int = 8,
) -> tuple[EnsemblePlan | None, list[str]]:
    config = _config(
        "whole", _specs(inputs or {"IN": (4,)}), _specs(outputs or {"OUT": (4,)}), steps, max_batch_size
    )
    entries = {name: ModelEntry(model, {1: Path(), 3: Path()}) for name, model in MODELS.items()}
    entries["whole"] = ModelEntry(config, {1: Path()})
    entries.pop(broken, None)
    repository = Repository(frozenset(MODELS) | {"whole"}, entries)
    diagnostics = Diagnostics()
    plan = plan_ensemble(config, repository, diagnostics)
    return plan, [str(problem).removeprefix("whole/config.pbtxt: ") for problem in diagnostics.problems]


def test_steps_are_put_into_an_order_in_which_they_can_run() -> None:
    plan, problems = _plan(
        _step("join", {"LEFT": "a", "RIGHT": "b"}, {"OUT": "OUT"}),
        _step("head", {"IN": "h"}, {"OUT": "a"}),
        _step("head", {"IN": "h"}, {"OUT": "b"}, version=1),
        _step("head", {"IN": "IN"}, {"OUT": "h", "EXTRA": "unread"}),
    )
    assert problems == []
    assert plan is not None
    assert [(step.model, step.version) for step in plan.steps] == [
        ("head", 3),
        ("head", 3),
        ("head", 1),
        ("join", 3),
    ]
    assert [dict(step.inputs) for step in plan.steps] == [
        {"IN": "IN"},
        {"IN": "h"},
        {"IN": "h"},
        {"LEFT": "a", "RIGHT": "b"},
    ]
    # What nobody reads is not asked for.
    assert plan.steps[0].outputs == {"OUT": "h"}


def test_a_size_left_open_agrees_with_any() -> None:
    plan, problems = _plan(
        _step("head", {"IN": "IN"}, {"EXTRA": "e"}), _step("any", {"IN": "e"}, {"OUT": "OUT"})
    )
    assert problems == []
    assert plan is not None
    assert [step.checked for step in plan.steps] == [False, True]


def test_a_model_without_a_batch_dimension_may_take_the_batch_as_a_dimension_of_its_own() -> None:
    plan, problems = _plan(_step("unbatched", {"IN": "IN"}, {"OUT": "OUT"}))
    assert problems == []
    assert plan is not None
    assert [step.checked for step in plan.steps] == [False]


def test_what_reads_a_batch_that_the_configs_do_not_prove_is_checked_when_it_runs() -> None:
    plan, problems = _plan(
        _step("head", {"IN": "IN"}, {"OUT": "proved"}),
        # Its first dimension is any size, not the batch of the call.
        _step("unbatched", {"IN": "proved"}, {"OUT": "open"}),
        # Checked: then both have the batch of the call, and what it writes has it as well.
        _step("join", {"LEFT": "open", "RIGHT": "proved"}, {"OUT": "joined"}),
        _step("head", {"IN": "joined"}, {"OUT": "late"}),
        # Checked, but against nothing that has the batch of the call.
        _step("head", {"IN": "open"}, {"OUT": "alone"}),
        _step("join", {"LEFT": "alone", "RIGHT": "late"}, {"OUT": "OUT"}),
    )
    assert problems == []
    assert plan is not None
    checked = {next(iter(step.outputs.values())): step.checked for step in plan.steps}
    assert checked == {
        "proved": False,
        "open": False,
        "joined": True,
        "late": False,
        "alone": True,
        "OUT": True,
    }


def test_without_a_batch_of_its_own_an_ensemble_checks_every_model_that_has_one() -> None:
    plan, problems = _plan(
        _step("head", {"IN": "IN"}, {"OUT": "h"}),
        _step("head", {"IN": "h"}, {"OUT": "OUT"}),
        inputs={"IN": (ANY_SIZE, 4)},
        outputs={"OUT": (ANY_SIZE, 4)},
        max_batch_size=0,
    )
    assert problems == []
    assert plan is not None
    assert [step.checked for step in plan.steps] == [True, True]


def test_a_model_with_problems_of_its_own_is_not_reported_again() -> None:
    assert _plan(_step("head", {"IN": "IN"}, {"OUT": "OUT"}), broken="head") == (None, [])


STEP0 = "ensemble_scheduling.step[0]"
REFUSALS = {
    "unknown model": (
        [_step("heed", {"IN": "IN"}, {"OUT": "OUT"})],
        [f"{STEP0}.model_name: there is no model 'heed'; allowed: {', '.join(sorted(MODELS))}"],
    ),
    "version not loaded": (
        [_step("head", {"IN": "IN"}, {"OUT": "OUT"}, version=2)],
        [f"{STEP0}.model_version: version 2 of 'head' is not loaded; allowed: -1 for the newest, 1, 3"],
    ),
    "unknown input": (
        [_step("head", {"IN": "IN", "INN": "IN"}, {"OUT": "OUT"})],
        [f"{STEP0}.input_map[\"INN\"]: 'head' has no input 'INN'; allowed: IN"],
    ),
    "input not fed": (
        [_step("join", {"LEFT": "IN"}, {"OUT": "OUT"})],
        [f"{STEP0}.input_map: does not feed input 'RIGHT' of 'join'; allowed: all of LEFT, RIGHT"],
    ),
    "unknown output": (
        [_step("head", {"IN": "IN"}, {"OUT": "OUT", "OTHER": "x"})],
        [f"{STEP0}.output_map[\"OTHER\"]: 'head' has no output 'OTHER'; allowed: OUT, EXTRA"],
    ),
    "no output map": (
        [_step("head", {"IN": "IN"}, {"OUT": "OUT"}), _step("head", {"IN": "IN"}, {})],
        ["ensemble_scheduling.step[1].output_map: is empty; allowed: outputs of 'head': EXTRA, OUT"],
    ),
    "nameless tensor": (
        [_step("head", {"IN": "IN"}, {"OUT": "OUT", "EXTRA": ""})],
        [f'{STEP0}.output_map["EXTRA"]: is empty; allowed: the name of an ensemble tensor'],
    ),
    "tensor nobody writes": (
        [_step("head", {"IN": "NI"}, {"OUT": "OUT"}), _step("head", {"IN": "IN"}, {"OUT": "x"})],
        [
            f"{STEP0}.input_map[\"IN\"]: nothing writes tensor 'NI'; "
            "allowed: ensemble inputs and step outputs: IN, OUT, x",
            "ensemble_scheduling.step[1].output_map: nothing reads x; allowed: a tensor that is read",
        ],
    ),
    "output nobody writes": (
        [_step("head", {"IN": "IN"}, {"OUT": "x"})],
        [
            "output[0]: nothing writes tensor 'OUT'; allowed: ensemble inputs and step outputs: IN, x",
            f"{STEP0}.output_map: nothing reads x; allowed: a tensor that is read",
        ],
    ),
    "two writers": (
        [_step("head", {"IN": "IN"}, {"OUT": "OUT"}), _step("head", {"IN": "IN"}, {"OUT": "OUT"})],
        [
            "ensemble_scheduling.step[1].output_map[\"OUT\"]: tensor 'OUT' is already written by "
            f'{STEP0}.output_map["OUT"]; allowed: one writer for each tensor'
        ],
    ),
    "step writes an input": (
        [_step("head", {"IN": "IN"}, {"OUT": "IN", "EXTRA": "OUT"})],
        [
            f"{STEP0}.output_map[\"OUT\"]: tensor 'IN' is already written by input[0]; "
            "allowed: one writer for each tensor",
            "output[0]: 'OUT' is [ -1, 4 ] here; "
            f'allowed: [ -1, 2, -1 ], as {STEP0}.output_map["EXTRA"] writes it',
        ],
    ),
    "other dtype": (
        [_step("bytes", {"IN": "IN"}, {"OUT": "OUT"})],
        [f"{STEP0}.input_map[\"IN\"]: 'IN' is TYPE_UINT8 here; allowed: TYPE_FP32, as input[0] writes it"],
    ),
    "other shape": (
        [_step("wide", {"IN": "IN"}, {"OUT": "OUT"})],
        [f"{STEP0}.input_map[\"IN\"]: 'IN' is [ -1, 5 ] here; allowed: [ -1, 4 ], as input[0] writes it"],
    ),
    "no room for the batch": (
        [_step("fixed", {"IN": "IN"}, {"OUT": "OUT"})],
        [
            f"{STEP0}.input_map[\"IN\"]: 'IN' is [ 4 ] here; allowed: [ -1, 4 ], as input[0] writes it",
            f"output[0]: 'OUT' is [ -1, 4 ] here; allowed: [ 4 ], as {STEP0}.output_map[\"OUT\"] writes it",
        ],
    ),
    "smaller batches": (
        [_step("single", {"IN": "IN"}, {"OUT": "OUT"})],
        [
            f"{STEP0}.model_name: 'single' takes batches of 1; "
            "allowed: models whose max_batch_size is the ensemble's 8 or more"
        ],
    ),
    "cycle": (
        [
            _step("join", {"LEFT": "IN", "RIGHT": "b"}, {"OUT": "a"}),
            _step("head", {"IN": "a"}, {"OUT": "b"}),
            _step("head", {"IN": "b"}, {"OUT": "OUT"}),
        ],
        [
            "ensemble_scheduling.step: the steps wait for each other: "
            "step[0] join -> step[1] head -> step[0] join; allowed: no cycle"
        ],
    ),
    "step that waits for itself": (
        [_step("join", {"LEFT": "IN", "RIGHT": "OUT"}, {"OUT": "OUT"})],
        [
            "ensemble_scheduling.step: the steps wait for each other: "
            "step[0] join -> step[0] join; allowed: no cycle"
        ],
    ),
}


@pytest.mark.parametrize(("steps", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refuses_with_field_value_and_what_is_allowed(steps: list[StepConfig], expected: list[str]) -> None:
    plan, problems = _plan(*steps)
    assert plan is None
    assert problems == expected


def test_problems_come_in_the_order_of_the_config() -> None:
    tensors = [f"T{index}" for index in range(8)]
    many = _config("many", _specs(dict.fromkeys(tensors, (4,))), _specs({"OUT": (4,)}))
    whole = _config("whole", (), (), (_step("many", {}, {"OUT": "OUT"}),))
    entries = {model.name: ModelEntry(model, {1: Path()}) for model in (many, whole)}
    diagnostics = Diagnostics()
    plan_ensemble(whole, Repository(frozenset(entries), entries), diagnostics)
    unfed = [problem.problem for problem in diagnostics.problems if problem.field.endswith("input_map")]
    assert unfed == [f"does not feed input {name!r} of 'many'" for name in tensors]


def test_an_input_that_no_step_reads_is_refused() -> None:
    _, problems = _plan(_step("head", {"IN": "IN"}, {"OUT": "OUT"}), inputs={"IN": (4,), "SEED": (1,)})
    assert problems == ["input[1]: no step reads 'SEED'; allowed: inputs that a step reads"]


def test_ensembles_that_contain_each_other_are_refused() -> None:
    pairs = [("outer", "inner"), ("inner", "outer"), ("apart", "outer")]
    entries = {
        name: ModelEntry(_config(name, (), (), (_step(model, {}, {}),)), {1: Path()}) for name, model in pairs
    }
    diagnostics = Diagnostics()
    check_nesting(entries, diagnostics)
    (problem,) = diagnostics.problems
    assert problem.field == "ensemble_scheduling.step"
    assert problem.problem in (
        "the ensemble contains itself: outer -> inner -> outer",
        "the ensemble contains itself: inner -> outer -> inner",
    )


@st.composite
def graphs(draw: st.DrawFn) -> list[StepConfig]:
    """Steps of a sound ensemble over `join` and `head`, each reading tensors written before; shuffled."""
    tensors = ["IN"]
    steps = []
    for index in range(draw(st.integers(1, 8))):
        tensor = f"t{index}"
        # Reading the tensor just written keeps every step's output in use.
        if draw(st.booleans()):
            steps.append(
                _step("join", {"LEFT": tensors[-1], "RIGHT": draw(st.sampled_from(tensors))}, {"OUT": tensor})
            )
        else:
            steps.append(_step("head", {"IN": tensors[-1]}, {"OUT": tensor}))
        tensors.append(tensor)
    steps.append(_step("head", {"IN": tensors[-1]}, {"OUT": "OUT"}))
    return draw(st.permutations(steps))


def _evaluate(steps: list[StepConfig], tensor: str) -> float:
    """The value of a tensor by recursion over its writers, with head = 2x and join = left + right."""
    if tensor == "IN":
        return 1.0
    step = next(step for step in steps if step.outputs["OUT"] == tensor)
    values = {name: _evaluate(steps, read) for name, read in step.inputs.items()}
    return 2 * values["IN"] if step.model == "head" else values["LEFT"] + values["RIGHT"]


@given(graphs())
def test_every_sound_graph_is_put_into_an_order_that_computes_what_it_says(steps: list[StepConfig]) -> None:
    plan, problems = _plan(*steps)
    assert problems == []
    assert plan is not None
    tensors = {"IN": 1.0}
    for step in plan.steps:  # fails where a step stands before one that it reads from
        given = {name: tensors[tensor] for name, tensor in step.inputs.items()}
        written = 2 * given["IN"] if step.model == "head" else given["LEFT"] + given["RIGHT"]
        tensors[step.outputs["OUT"]] = written
    assert tensors["OUT"] == _evaluate(steps, "OUT")
    assert not any(step.checked for step in plan.steps)  # every size is in the configs


NAMES = st.sampled_from(["IN", "OUT", "LEFT", "RIGHT", "EXTRA", "x", "y", ""])
MAPS = st.dictionaries(NAMES, NAMES, max_size=3)
WILD_STEPS = st.builds(
    StepConfig, st.sampled_from([*MODELS, "whole", "nobody"]), st.sampled_from([-1, 1, 2]), MAPS, MAPS
)


@given(st.lists(WILD_STEPS, min_size=1, max_size=5))
def test_any_other_graph_is_refused_with_reasons(steps: list[StepConfig]) -> None:
    plan, problems = _plan(*steps)
    assert (plan is None) == bool(problems)


@given(graphs(), st.data())
def test_a_graph_that_lost_a_step_is_refused(steps: list[StepConfig], data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(steps))
    plan, problems = _plan(
        *(step for step in steps if step is not lost), _step("head", {"IN": "IN"}, {"OUT": "z"})
    )
    assert plan is None
    assert any(f"nothing writes tensor {lost.outputs['OUT']!r}" in problem for problem in problems)
