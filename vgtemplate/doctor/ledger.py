"""What becomes of every parameter in a watched step: whether a gradient came, of what size, and where it moved to."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.doctor.evidence import Keep, ParameterStep, Step
from vgtemplate.watching.tally import dense, wide

SAMPLE = 256
"""Entries of a parameter that are followed."""
_NORMS = (nn.modules.batchnorm._NormBase,)
_NONE = np.empty(0)


def sample(tensor: Tensor) -> Tensor:
    """Return some entries of a tensor, the same ones each time, as a copy."""
    flat = dense(tensor).reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)][:SAMPLE].clone()


class _Added(NamedTuple):
    """A gradient that was added to what a step had used already; its version shows whether others wrote to it since."""

    gradient: weakref.ref[Tensor]
    version: int
    norm: Tensor


class Ledger:
    """Writes to a step what its parameters did.

    Args:
        names: of the network's parameters.
        keep: takes a tensor, and where its values go when the step ends.
    """

    def __init__(self, names: Mapping[nn.Parameter, str], keep: Keep) -> None:
        self.names, self._keep = names, keep
        self._used: dict[nn.Parameter, tuple[weakref.ref[Tensor], int]] = {}
        self._left: dict[Tensor, Tensor] = {}
        self._added: dict[Tensor, _Added] = {}
        self._frozen_means: dict[str, tuple[Tensor, Tensor]] = {}

    def begin(self, model: nn.Module) -> None:
        """Before the forward pass: keep the statistics of those normalisations that should stand still."""
        # What was left when an earlier step ended says nothing of this one, whose backward pass may not be heard.
        self._left = {}
        self._frozen_means = {
            name: (module.running_mean, module.running_mean.detach().clone())
            for name, module in frozen_norms(model)
            if module.training and isinstance(module.running_mean, Tensor)
        }

    def before_backward(self) -> None:
        """Look for the gradients that an optimiser has used and nobody has cleared since."""
        for parameter, added in list(self._added.items()):
            # Cleared since: by None, or in place.
            left = parameter.grad
            if left is None or left is not added.gradient() or left._version != added.version:
                del self._added[parameter]
        self._left = {}
        for parameter, (used, version) in self._used.items():
            left = parameter.grad
            if left is not None and left is used() and left._version == version:
                self._left[parameter] = _norm(dense(left))

    def accumulated(self, parameter: Tensor) -> None:
        """A gradient has come to a parameter: was it added to one that had been used?"""
        norm = self._left.pop(parameter, None)
        added = self._added.get(parameter)
        if parameter.grad is not None and (norm is not None or added is not None):
            size = added.norm if norm is None and added is not None else norm
            assert size is not None
            self._added[parameter] = _Added(weakref.ref(parameter.grad), parameter.grad._version, size)

    def before_step(self, step: Step, owned: Iterable[nn.Parameter], scale: Tensor | float) -> None:
        """Before an optimiser steps: the gradients of what it moves, complete and clipped.

        Args:
            scale: what they are too large by.
        """
        owned = list(owned)
        if step.is_brief:
            self._sample({name: each for each in owned if (name := self.names.get(each)) is not None}, step, scale)
            return
        for parameter in owned:
            # A game's judge is cleared before its own backward pass, whatever the other player's has left in it.
            added = self._added.pop(parameter, None)
            if added is not None and parameter.grad is added.gradient():
                self._keep(added.norm, partial(_put, step.stale, self.names[parameter]))
        self._note_all(step, {name: each for each in owned if (name := self.names.get(each)) is not None}, scale)

    def _note_all(self, step: Step, parameters: Mapping[str, nn.Parameter], scale: Tensor | float) -> None:
        self._sample(parameters, step, scale)
        gradients = {name: dense(each.grad) for name, each in parameters.items() if each.grad is not None}
        for name, size in _largest({name: dense(each) for name, each in parameters.items()}).items():
            self._keep(size, partial(_set_first, step.parameters[name], "largest_weight"))
        for name, size in _largest(gradients).items():
            self._keep(size / scale, partial(_set_first, step.parameters[name], "largest_gradient"))

    def _sample(self, parameters: Mapping[str, nn.Parameter], step: Step, scale: Tensor | float) -> None:
        for name, each in parameters.items():
            step.parameters[name] = note = ParameterStep(each.grad is not None, 0.0, 0.0, _NONE, _NONE, _NONE)
            self._keep(sample(each), partial(setattr, note, "before"))
            if each.grad is not None and not each.grad.is_sparse:
                self._keep(sample(each.grad) / scale, partial(setattr, note, "gradient"))

    def after_step(self, step: Step, owned: Iterable[nn.Parameter]) -> None:
        """After it has stepped: where they are now."""
        for parameter in owned:
            note = step.parameters.get(self.names.get(parameter, ""))
            if note is None:
                continue
            self._keep(sample(parameter), partial(setattr, note, "after"))
            if parameter.grad is not None and not step.is_brief:
                self._used[parameter] = weakref.ref(parameter.grad), parameter.grad._version

    def end(self, step: Step) -> None:
        """Before the step is left: what no optimiser has, and what should have stood still."""
        rest = {name: each for each, name in self.names.items() if name not in step.parameters}
        self._note_all(step, rest, 1.0)
        for name, (mean, before) in self._frozen_means.items():
            way = (mean.detach() - before).to(wide(before.device))
            self._keep(_norm(way), partial(_put, step.thawed, name))
        self._frozen_means = {}


def _put(into: dict[str, float], name: str, host: Any) -> None:
    into[name] = float(host[0])


def _set_first(note: ParameterStep, name: str, host: Any) -> None:
    setattr(note, name, float(host[0]))


def _norm(values: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(values, dtype=wide(values.device))
    return norm


def _largest(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the largest size of an entry of each tensor that has any; it is zero only if all are."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            # On a processor 14 times faster than a norm of infinite order.
            low, high = torch.aminmax(tensor)
            found[name] = torch.maximum(-low, high)
    return found


def frozen_norms(model: nn.Module) -> Iterable[tuple[str, nn.modules.batchnorm._NormBase]]:
    """Yield the normalisations of those parts of a network of which nothing is trained, though other parts are."""
    modules = dict(model.named_modules())
    if not any(each.requires_grad for each in model.parameters()):
        return
    for name, module in modules.items():
        if isinstance(module, _NORMS) and module.track_running_stats:
            around, place = modules[name], name
            # Without weights of its own it belongs to what is around it.
            while place and not any(True for _ in around.parameters()):
                place = place.rpartition(".")[0]
                around = modules[place]
            if not any(each.requires_grad for each in around.parameters()):
                yield name, module


def alike(parameter: Tensor) -> str:
    """Say whether a matrix is "zero", "constant", or has the same weights in all its "units"; "" if none."""
    weight = dense(parameter)
    # A scale per channel, (C, 1, 1), is no matrix, whatever its axes.
    if sum(size > 1 for size in weight.shape) < 2 or weight.shape[0] < 2:
        return ""
    first = weight.reshape(-1)[0]
    if bool((weight == first).all()):
        return "zero" if float(first) == 0 else "constant"
    spread = (weight - weight[:1]).abs().max()
    return "units" if float(spread) <= 1e-6 * float(weight.abs().max()) else ""
