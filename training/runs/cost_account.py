"""What a computation would take, told without doing it: bytes held at once, and multiplications.

PyTorch's fake tensors have shapes and no numbers: the computation runs as it is written, forward and
backward, and what each of its tensors would hold is counted while it lives. So no GPU is needed to know what
one would need, and nothing has to be kept in step by hand.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a computation.

    Attributes:
        peak_bytes: most bytes that its tensors hold at once; a library's own working space is not in it.
        kept_bytes: bytes that are still held in the end.
        flops: floating-point operations of its convolutions and matrix products; a product and a sum are two.
    """

    peak_bytes: int
    kept_bytes: int
    flops: int


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that tensors made inside hold, as long as they live.

    Attributes:
        now: bytes held at present.
        peak: most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and note the storages it makes."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@contextmanager
def _fakes_are_moved() -> Iterator[None]:
    """Lets modules of fake tensors be copied, as moving averages do, and moved: to where they are.

    Torch's own ways read the tensors' numbers, or exchange tensors, which fake ones do not allow. And a new
    spectral norm takes one step towards its value, not fifteen, which took a third of the time.
    """

    def copied(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        if id(tensor) not in memo:
            clone = tensor.detach().clone()
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(clone, tensor.requires_grad) if is_parameter else clone
        found: torch.Tensor = memo[id(tensor)]
        return found

    def one_step(norm: _SpectralNorm, weight: torch.Tensor, _steps: int) -> None:
        power_method(norm, weight, 1)

    move, power_method = nn.Module.to, _SpectralNorm._power_method
    setattr(FakeTensor, "__deepcopy__", copied)  # noqa: B010 - a method of torch's, replaced for a while
    setattr(nn.Module, "to", lambda module, *_, **__: module)  # noqa: B010
    setattr(_SpectralNorm, "_power_method", one_step)  # noqa: B010
    try:
        yield
    finally:
        delattr(FakeTensor, "__deepcopy__")
        setattr(nn.Module, "to", move)  # noqa: B010
        setattr(_SpectralNorm, "_power_method", power_method)  # noqa: B010


def cost_of(computation: Callable[[], object]) -> Cost:
    """The cost of a computation that makes all of its tensors itself, on the CPU, and asks for no number.

    Args:
        computation: what it returns is kept until the cost is known.

    Raises:
        ValueError: if there can be no tensors of its sizes.
    """
    # Spectral norms and random numbers of a real machine are left alone: fake ones have no state.
    state = torch.get_rng_state()
    try:
        with (
            _fakes_are_moved(),
            FakeTensorMode(),
            LiveBytes() as live,
            FlopCounterMode(display=False) as counter,
        ):
            kept = computation()
            flops, peak, left = counter.get_total_flops(), live.peak, live.now
            del kept
    except (OverflowError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"there can be no tensors of the configured sizes ({reason})") from error
    finally:
        torch.set_rng_state(state)
    return Cost(peak, left, flops)
