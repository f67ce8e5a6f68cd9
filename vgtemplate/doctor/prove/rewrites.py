"""Cures that change what functions are handed: a loss its input or its targets, a function its domain."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vgtemplate.doctor.losses import BINARY, CLASSES, DIFFERENCES, DISTANCES, LOSSES, arguments, maker_of
from vgtemplate.doctor.prove.cure import Cure
from vgtemplate.doctor.prove.domain import DOMAINS, in_domain
from vgtemplate.doctor.trace import place_in_code

Call = Callable[..., Any]
_MAKERS = {"softmax", "log_softmax", "sigmoid", "relu", "tanh"}
_REACH = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, torch.inf)}


class Rewrite:
    """Calls functions with other arguments than they were given.

    Args:
        names: of the functions that it is told of.
        only_measures: hand on what was given, and note only what the loss would have been.
    """

    names: frozenset[str] = frozenset()

    def __init__(self, cure: Cure, only_measures: bool = False) -> None:
        self.cure, self._only_measures = cure, only_measures
        self.losses: list[Tensor] = []
        """The loss as it should be, of every call: by it both kinds of copies are compared."""

    def call(self, function: Call, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of `names` in its way."""
        raise NotImplementedError

    def _is_here(self, name: str) -> bool:
        kind = "difference" if name in DIFFERENCES else name
        return f"{kind} at {place_in_code()}" in self.cure.where or kind in self.cure.where

    def _answer(self, plain: Callable[[], Any], cured: Callable[[], Any], should: Callable[[], Any]) -> Any:
        """Return the loss, and note what it should be."""
        if self._only_measures:
            result = plain()
            with torch.no_grad():
                self._note(should())
            return result
        result = cured()
        self._note(result)
        return result

    def _note(self, value: Any) -> None:
        self.losses.append(value.detach().float().square().mean() if value.dim() else value.detach())


class LossHead(Rewrite):
    """Hands a loss what it takes: logits, log-probabilities, targets of the same shape and in its range."""

    names = frozenset(LOSSES | DIFFERENCES | _MAKERS)

    def __init__(self, cure: Cure, only_measures: bool = False) -> None:
        super().__init__(cure, only_measures)
        self._made: dict[Any, tuple[str, Tensor]] = {}
        self._range: tuple[Tensor, Tensor] | None = None

    def call(self, function: Call, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in _MAKERS:
            result = function(*args, **kwargs)
            if isinstance(result, Tensor) and result.grad_fn is not None and args:
                self._made[result.grad_fn] = name, args[0]
            return result
        given, target = arguments(name, args, kwargs)
        if not isinstance(given, Tensor) or not isinstance(target, Tensor) or not self._is_here(name):
            return function(*args, **kwargs)
        by, before = self._made.get(maker_of(given), ("", given))
        self._made = {}
        if name in DIFFERENCES and not given.requires_grad:
            right = given.reshape(target.shape) if given.numel() == target.numel() else given, target
        else:
            right = self._right(name, given, target, by, before.reshape(given.shape))
        swapped = (right[1], right[0]) if name in ("__rsub__", "rsub") else right
        rest = {key: value for key, value in kwargs.items() if key not in ("input", "target", "other")}

        def cured() -> Any:
            return function(*swapped, *args[2:], **rest)

        return self._answer(lambda: function(*args, **kwargs), cured, cured)

    def _right(self, name: str, given: Tensor, target: Tensor, by: str, before: Tensor) -> tuple[Tensor, Tensor]:
        if name not in CLASSES and given.shape != target.shape and given.numel() == target.numel():
            return given, target.reshape(given.shape)
        if name in ("cross_entropy", "binary_cross_entropy_with_logits") and by and by != "log_softmax":
            return before, target
        if name in ("nll_loss", "kl_div"):
            return before.log_softmax(1 if name == "nll_loss" else -1), target
        if name in BINARY:
            return given, self._recoded(target)
        if name in DISTANCES and by in _REACH and not _is_within(target, _REACH[by]):
            return before, target
        return given, target

    def _recoded(self, target: Tensor) -> Tensor:
        low, high = self._range = self._range or (target.min(), target.max())
        is_fine = bool(low >= 0) and bool(high <= 1)
        return target if is_fine else ((target - low) / (high - low)).clamp(0, 1)


def _is_within(target: Tensor, reach: tuple[float, float]) -> bool:
    return bool((target >= reach[0]).all()) and bool((target <= reach[1]).all())


class Targets(Rewrite):
    """Standardises a loss's targets by mean and standard deviation of the first batch."""

    names = frozenset(DISTANCES | DIFFERENCES)

    def __init__(self, cure: Cure, only_measures: bool = False) -> None:
        super().__init__(cure, only_measures)
        self._known: tuple[Tensor, Tensor] | None = None

    def call(self, function: Call, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given, target = arguments(name, args, kwargs)
        if not isinstance(given, Tensor) or not isinstance(target, Tensor) or not self._is_here(name):
            return function(*args, **kwargs)
        is_swapped = not given.requires_grad and target.requires_grad
        given, target = (target, given) if is_swapped else (given, target)
        if self._known is None:
            spread = target.std(0, correction=0)
            self._known = target.mean(0), torch.where(spread > 0, spread, 1)
        mean, spread = self._known
        right = (target - mean) / spread
        rest = {key: value for key, value in kwargs.items() if key not in ("input", "target", "other")}

        def of(output: Tensor) -> Any:
            pair = (right, output) if is_swapped != (name in ("__rsub__", "rsub")) else (output, right)
            return function(*pair, *args[2:], **rest)

        return self._answer(lambda: function(*args, **kwargs), lambda: of(given), lambda: of((given - mean) / spread))


class Domain(Rewrite):
    """Keeps the input of some functions where these and their derivatives are finite."""

    names = frozenset(DOMAINS)

    def call(self, function: Call, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name not in self.cure.where:
            return function(*args, **kwargs)
        return in_domain(function, name, args, kwargs)


REWRITES: dict[str, type[Rewrite]] = {"loss-head": LossHead, "standardise-targets": Targets, "domain": Domain}
"""By kind of cure."""


class Mode(TorchFunctionMode):
    """Within it, functions are called in a rewrite's way; for a training in this process."""

    def __init__(self, rewrite: Rewrite) -> None:
        super().__init__()
        self._rewrite = rewrite

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name not in self._rewrite.names:
            return func(*args, **(kwargs or {}))
        return self._rewrite.call(func, name, args, kwargs or {})


def install(rewrites: Iterable[Rewrite]) -> None:
    """Put rewrites in the place of torch's functions, for good: for a process that trains one copy of a script.

    A mode would not do: it would have to be the innermost of all, at every step.
    """
    holders = (torch, torch.Tensor, torch.nn.functional, torch.linalg, torch.special)
    for rewrite in rewrites:
        for holder in holders:
            for name in rewrite.names & set(dir(holder)):
                setattr(holder, name, _instead(getattr(holder, name), name, rewrite))


def _instead(function: Call, name: str, rewrite: Rewrite) -> Call:
    is_busy = False

    @functools.wraps(function, assigned=("__name__", "__doc__"), updated=())
    def instead(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_busy
        # Torch's functions hand modes whatever stands under their name, which is this one.
        if is_busy:
            return function(*args, **kwargs)
        is_busy = True
        try:
            return rewrite.call(function, name, args, kwargs)
        finally:
            is_busy = False

    return instead
