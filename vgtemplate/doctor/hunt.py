"""Finds the function, module and sample that put the first value that is not finite into one step of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from vgtemplate.doctor.trace import place_in_code, tensors

_ON_PURPOSE = {"masked_fill", "masked_fill_", "where", "__setitem__", "detach", "__get__", "nan_to_num"}
"""Functions that compute nothing, or put infinities where somebody wants them."""
_TO_ZERO = {"log", "log2", "log10", "logit", "div", "__truediv__", "true_divide", "reciprocal", "rsqrt", "__rtruediv__"}
"""Functions whose -inf is no mask."""


@dataclass(frozen=True)
class Culprit:
    """What put out the first value that is not finite.

    Args:
        phase: "forward" or "backward".
        module: its name in the network that ran.
        place: file and line of the code that called the function.
        samples: places in the batch; empty where all have it, or where they cannot be told apart.
        is_data: a tensor that comes from outside, as data do, was not finite already.
    """

    phase: str
    value: str
    function: str
    module: str
    place: str
    samples: tuple[int, ...]
    is_data: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self) | {"samples": list(self.samples)}


class Hunt(TorchFunctionMode):
    """Sees every function of a step while it is entered and `is_on`.

    Args:
        batch: how many samples a batch has; None: as many as the first tensor that a network is called with.
        replica: in tensors (R, B, ...) of a population, the one whose samples are looked at.
        sees: is called with every tensor that a function is handed.
    """

    def __init__(
        self, batch: int | None = None, replica: int | None = None, sees: Callable[[Tensor], None] | None = None
    ) -> None:
        super().__init__()
        self.is_on = True
        self.forward: Culprit | None = None
        """The first function whose output was not finite."""
        self.backward: Culprit | None = None
        """The first whose derivative made of finite numbers what is not."""
        self._batch, self._replica, self._sees = batch, replica, sees
        self._made: dict[Any, tuple[str, str, str]] = {}
        self._modules: list[str] = []
        self._names: dict[int, str] = {}
        self._handles: list[Any] = [
            register_module_forward_pre_hook(self._before_module),
            register_module_forward_hook(self._after_module, always_call=True),
        ]

    def close(self) -> None:
        """Take the hooks out."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._made = [], {}

    def begin(self) -> None:
        """Forget the step before."""
        self._made, self.forward, self.backward = {}, None, None

    def _before_module(self, module: nn.Module, args: Any) -> None:
        if not self.is_on:
            return
        if not self._modules:
            self._names = {id(each): name for name, each in module.named_modules()}
            first = next((each for each in tensors(args) if each.dim()), None)
            if self._batch is None and first is not None:
                self._batch = len(first)
        self._modules.append(self._names.get(id(module)) or type(module).__name__)

    def _after_module(self, *_: object) -> None:
        if self._modules:
            self._modules.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.is_on and torch.is_grad_enabled():
            with torch.no_grad(), torch._C.DisableTorchFunction():
                self._look(getattr(func, "__name__", ""), [*args, *(kwargs or {}).values()], result)
        return result

    def _look(self, name: str, given: list[Any], result: Any) -> None:
        if self._sees is not None:
            for tensor in tensors(given):
                self._sees(tensor)
        for output in tensors([result]):
            if not output.requires_grad or not output.is_floating_point() or name in _ON_PURPOSE:
                continue
            where = name, self._modules[-1] if self._modules else "", place_in_code()
            if output.grad_fn is not None:
                self._made.setdefault(output.grad_fn, where)
            wrong = output.isnan() | (output == torch.inf) | ((output == -torch.inf) if name in _TO_ZERO else False)
            if self.forward is None and bool(wrong.any()):
                is_data = any(bool(each.isnan().any()) for each in tensors(given) if not each.requires_grad)
                self.forward = self._culprit("forward", where, output.detach(), wrong, is_data)

    def _culprit(
        self, phase: str, where: tuple[str, str, str], values: Tensor, wrong: Tensor, is_data: bool = False
    ) -> Culprit:
        name, module, place = where
        value = "NaN" if bool(values.isnan().any()) else "infinity"
        return Culprit(phase, value, name, module, place, self._samples(wrong), is_data)

    def _samples(self, wrong: Tensor) -> tuple[int, ...]:
        size = self._batch
        if size is None or not wrong.dim():
            return ()
        if self._replica is not None and wrong.dim() > 1 and wrong.shape[1] == size and len(wrong) > self._replica:
            wrong = wrong[self._replica]
        if wrong.shape[0] != size and wrong.shape[0] % size == 0:
            wrong = wrong.unflatten(0, (size, -1))  # as (B * T, ...) of sequences
        if wrong.shape[0] != size:
            return ()
        rows = wrong.flatten(1).any(1) if wrong.dim() > 1 else wrong
        return () if bool(rows.all()) else tuple(rows.nonzero().flatten().tolist())

    def watch_backward(self, loss: Tensor) -> None:
        """Between the two passes: be told of every derivative behind a loss."""
        queue: list[tuple[Any, tuple[str, str, str]]] = [(loss.grad_fn, ("the loss", "", ""))]
        seen: set[Any] = set()
        while queue:
            node, where = queue.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            # What a function is made of carries its name.
            where = self._made.get(node, where)
            node.register_hook(partial(self._arrived, where))
            queue += [(following, where) for following, _ in node.next_functions]

    def _arrived(self, where: tuple[str, str, str], results: Sequence[Any], given: Sequence[Any]) -> None:
        if self.backward is not None:
            return
        with torch._C.DisableTorchFunction():
            if all(bool(each.isfinite().all()) for each in given if each is not None):
                for each in results:
                    if each is not None and bool((wrong := ~each.isfinite()).any()):
                        self.backward = self._culprit("backward", where, each, wrong)
                        return
