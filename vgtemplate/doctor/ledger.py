"""What becomes of every parameter in a watched step: whether a gradient came, of what size, and where it moved to."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.doctor.evidence import ParameterStep, Step
from vgtemplate.watching.tally import dense, wide

SAMPLE = 256
"""Entries of a parameter that are followed."""
Keep = Callable[[Tensor, Callable[[Any], None]], None]
_NORMS = (nn.modules.batchnorm._BatchNorm,)
_NONE = np.empty(0)


def sample(tensor: Tensor) -> Tensor:
    """Return some entries of a tensor, the same ones each time, as a copy."""
    flat = dense(tensor).reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)][:SAMPLE].to(wide(flat.device), copy=True)


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
        self._frozen_means: dict[str, tuple[Tensor, Tensor]] = {}

    def forget(self) -> None:
        """Between this watched step and the one before others passed: what is left in gradients is not known."""
        self._used = {}

    def begin(self, model: nn.Module) -> None:
        """Before the forward pass: keep the statistics of those normalisations that should stand still."""
        self._frozen_means = {
            name: (module.running_mean, module.running_mean.detach().clone())
            for name, module in frozen_norms(model)
            if module.training and isinstance(module.running_mean, Tensor)
        }

    def before_backward(self, step: Step) -> None:
        """Look for the gradients that an optimiser has used and nobody has cleared since."""
        self._left = {}
        for parameter, (used, version) in self._used.items():
            left = parameter.grad
            if left is not None and left is used() and left._version == version:
                self._left[parameter] = _norm(dense(left))

    def accumulated(self, step: Step, parameter: Tensor) -> None:
        """A gradient has come to a parameter: was it added to one that had been used?"""
        if (norm := self._left.pop(parameter, None)) is not None:
            name = self.names.get(parameter, "")  # type: ignore[call-overload]
            self._keep(norm, partial(_put, step.stale, name))

    def before_step(self, step: Step, owned: Iterable[nn.Parameter], scale: Tensor | float) -> None:
        """Before an optimiser steps: the gradients of what it moves, complete and clipped.

        Args:
            scale: what they are too large by.
        """
        for parameter in owned:
            if (name := self.names.get(parameter)) is not None:
                self._note(step, name, parameter, scale)

    def _note(self, step: Step, name: str, parameter: nn.Parameter, scale: Tensor | float) -> None:
        gradient = parameter.grad
        note = ParameterStep(gradient is not None, 0.0, 0.0, _NONE, _NONE, _NONE)
        step.parameters[name] = note
        weight = dense(parameter)
        self._keep(_norm(weight), lambda host: setattr(note, "weight_norm", float(host[0])))
        self._keep(sample(weight), lambda host: setattr(note, "before", host))
        if gradient is not None:
            values = dense(gradient)
            self._keep(_norm(values) / scale, lambda host: setattr(note, "gradient_norm", float(host[0])))
            if not gradient.is_sparse:
                self._keep(sample(values) / scale, lambda host: setattr(note, "gradient", host))

    def after_step(self, step: Step, owned: Iterable[nn.Parameter]) -> None:
        """After it has stepped: where they are now."""
        for parameter in owned:
            note = step.parameters.get(self.names.get(parameter, ""))
            if note is None:
                continue
            self._keep(sample(parameter), partial(setattr, note, "after"))
            if parameter.grad is not None:
                self._used[parameter] = weakref.ref(parameter.grad), parameter.grad._version

    def end(self, step: Step) -> None:
        """Before the step is left: what no optimiser has, and what should have stood still."""
        for parameter, name in self.names.items():
            if name not in step.parameters:
                self._note(step, name, parameter, 1.0)
        for name, (mean, before) in self._frozen_means.items():
            way = (mean.detach() - before).to(wide(before.device))
            self._keep(_norm(way), partial(_put, step.thawed, name))
        self._frozen_means = {}


def _put(into: dict[str, float], name: str, host: Any) -> None:
    into[name] = float(host[0])


def _norm(values: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(values, dtype=wide(values.device))
    return norm


def frozen_norms(model: nn.Module) -> Iterable[tuple[str, nn.modules.batchnorm._BatchNorm]]:
    """Yield the batch normalisations of parts of a network of which nothing is trained, though other parts are."""
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
    if weight.dim() < 2 or weight.shape[0] < 2 or not weight.numel():
        return ""
    first = weight.reshape(-1)[0]
    if bool((weight == first).all()):
        return "zero" if float(first) == 0 else "constant"
    spread = (weight - weight[:1]).abs().max()
    return "units" if float(spread) <= 1e-6 * float(weight.abs().max()) else ""
