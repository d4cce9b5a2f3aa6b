import numpy as np
import pytest

from service.core.errors import EngineFailure
from service.engine.base import Array, ModelInfo, TensorSpec
from service.engine.tensors import check_inputs, shapes_agree


def _info(max_batch_size: int = 4) -> ModelInfo:
    inputs = (
        TensorSpec("MAP", np.dtype(np.uint8), (2, -1)),
        TensorSpec("DIAL", np.dtype(np.float32), (1,)),
    )
    return ModelInfo("mapper", 1, max_batch_size, inputs, (), {}, ())


def _inputs(**changed: Array) -> dict[str, Array]:
    return {"MAP": np.zeros((3, 2, 7), np.uint8), "DIAL": np.zeros((3, 1), np.float32), **changed}


def test_accepts_what_fits() -> None:
    check_inputs(_info(), _inputs())
    check_inputs(_info(0), {"MAP": np.zeros((2, 7), np.uint8), "DIAL": np.zeros(1, np.float32)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (_inputs(SEED=np.zeros(1)), "mapper.inputs: got 'SEED'; allowed: MAP, DIAL"),
        (
            {"MAP": np.zeros((3, 2, 7), np.uint8)},
            "mapper.inputs[DIAL]: got nothing; allowed: TYPE_FP32 [ -1, 1 ]",
        ),
        (
            _inputs(DIAL=np.zeros((3, 1))),
            "mapper.inputs[DIAL]: got TYPE_FP64 [ 3, 1 ]; allowed: TYPE_FP32 [ -1, 1 ]",
        ),
        (
            _inputs(MAP=np.zeros((3, 3, 7), np.uint8)),
            "mapper.inputs[MAP]: got TYPE_UINT8 [ 3, 3, 7 ]; allowed: TYPE_UINT8 [ -1, 2, -1 ]",
        ),
        (
            _inputs(MAP=np.zeros((2, 7), np.uint8)),
            "mapper.inputs[MAP]: got TYPE_UINT8 [ 2, 7 ]; allowed: TYPE_UINT8 [ -1, 2, -1 ]",
        ),
        (_inputs(MAP=np.zeros((5, 2, 7), np.uint8)), "mapper.inputs[MAP]: got a batch of 5; allowed: 1 to 4"),
        (_inputs(MAP=np.zeros((0, 2, 7), np.uint8)), "mapper.inputs[MAP]: got a batch of 0; allowed: 1 to 4"),
        (
            _inputs(DIAL=np.zeros((2, 1), np.float32)),
            "mapper.inputs[DIAL]: got a batch of 2; allowed: 3, as in the other inputs",
        ),
        (
            _inputs(DIAL=np.zeros((3, 1), "U3")),
            "mapper.inputs[DIAL]: got <U3 [ 3, 1 ]; allowed: TYPE_FP32 [ -1, 1 ]",
        ),
    ],
)
def test_refuses_with_the_tensor_what_it_is_and_what_it_must_be(
    inputs: dict[str, Array], message: str
) -> None:
    with pytest.raises(EngineFailure) as raised:
        check_inputs(_info(), inputs)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("left", "right", "agree"),
    [
        ((1, 2), (1, 2), True),
        ((1, -1), (1, 2), True),
        ((-1,), (-1,), True),
        ((1,), (1, 1), False),
        ((), (), True),
    ],
)
def test_shapes_agree(left: tuple[int, ...], right: tuple[int, ...], agree: bool) -> None:
    assert shapes_agree(left, right) is agree
    assert shapes_agree(right, left) is agree
