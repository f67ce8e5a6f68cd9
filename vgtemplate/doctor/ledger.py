"""What becomes of every parameter in a watched step: whether a gradient came, of what size, and where it moved to."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.doctor.evidence import Keep, ParameterStep, Step
from vgtemplate.watching.tally import dense, norms_of, wide

SAMPLE = 256
"""Entries of a parameter that are followed."""
_NORMS = (nn.modules.batchnorm._NormBase,)
_ALIKE = 1e-6


def entries(tensor: Tensor) -> Tensor:
    """Return some entries of a tensor, the same ones each time; a view of it where that is possible."""
    if tensor.layout == torch.strided and tensor.is_contiguous() and not tensor.is_complex() and _is_plain(tensor):
        size = tensor.numel()
        stride = max(1, size // SAMPLE)
        return tensor.as_strided((min(SAMPLE, -(-size // stride)),), (stride,))
    flat = dense(tensor).reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)][:SAMPLE]


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter)


class _Added(NamedTuple):
    """A gradient that was added to what a step had used already; its version shows whether others wrote to it since."""

    gradient: weakref.ref[Tensor]
    version: int
    norm: Tensor


class _Joined(NamedTuple):
    """Entries of several parameters, one after the other."""

    names: list[str]
    entries: Tensor
    sizes: list[int]


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

    def begin(self, modules: Mapping[str, nn.Module]) -> None:
        """Before the forward pass: keep the statistics of those normalisations that should stand still."""
        # What was left when an earlier step ended says nothing of this one, whose backward pass may not be heard.
        self._left = {}
        self._frozen_means = {
            name: (module.running_mean, module.running_mean.detach().clone())
            for name, module in frozen_norms(modules)
            if module.training and isinstance(module.running_mean, Tensor)
        }

    @property
    def is_waiting(self) -> bool:
        """Whether there is a gradient that was used already, to which another may be added."""
        return bool(self._left or self._added)

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
        kept = self._sample(parameters, step, scale)
        gradients = {name: dense(each) for name, each in _gradients(parameters).items()}
        is_sound = bool(gradients)
        for names, norms in _norms(gradients):
            is_sound &= norms.device.type == "cpu" and all(map(math.isfinite, norms.tolist()))
            self._keep_norms("gradient_norm", step, names, _unscaled(norms, scale))
        # Where gradients are sound weights are as well, and a few entries tell whether they are zero.
        known = _sizes(kept) if is_sound else {}
        for name, norm in known.items():
            step.parameters[name].weight_norm = norm
        rest = {name: dense(each) for name, each in parameters.items() if name not in known}
        for names, norms in _norms(rest):
            self._keep_norms("weight_norm", step, names, norms)

    def _sample(self, parameters: Mapping[str, nn.Parameter], step: Step, scale: Tensor | float) -> list[_Joined]:
        gradients = _gradients(parameters)
        for name in parameters:
            step.parameters[name] = ParameterStep(name in gradients)
        kept = self._keep_entries("before", step, parameters)
        whole = {name: each for name, each in gradients.items() if not each.is_sparse}
        self._keep_entries("gradient", step, whole, scale)
        return kept

    def _keep_entries(
        self, field: str, step: Step, tensors: Mapping[str, Tensor], scale: Tensor | float = 1.0
    ) -> list[_Joined]:
        """Keep some entries of each tensor, of those of a kind with one copy; return these copies."""
        found: list[_Joined] = []
        for names, views in _of_a_kind({name: entries(each) for name, each in tensors.items()}):
            notes, sizes = [step.parameters[name] for name in names], [len(each) for each in views]
            joined = _unscaled(torch.cat(views), scale)
            self._keep(joined, partial(_share_out, field, notes, sizes))
            found.append(_Joined(names, joined, sizes))
        return found

    def _keep_norms(self, field: str, step: Step, names: list[str], norms: Tensor) -> None:
        self._keep(norms, partial(_share_out, field, [step.parameters[name] for name in names], None))

    def after_step(self, step: Step, owned: Iterable[nn.Parameter]) -> None:
        """After it has stepped: where they are now."""
        named = {self.names.get(each, ""): each for each in owned}
        self._keep_entries("after", step, {name: each for name, each in named.items() if name in step.parameters})
        if not step.is_brief:
            for name, each in named.items():
                if name in step.parameters and each.grad is not None:
                    self._used[each] = weakref.ref(each.grad), each.grad._version

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


def _share_out(field: str, notes: Sequence[ParameterStep], sizes: Sequence[int] | None, host: Any) -> None:
    """Give each note its part of what was joined; without sizes one number each."""
    if sizes is None:
        for note, value in zip(notes, host.tolist(), strict=True):
            setattr(note, field, value)
        return
    start = 0
    for note, size in zip(notes, sizes, strict=True):
        setattr(note, field, host[start : start + size])
        start += size


def _unscaled(values: Tensor, scale: Tensor | float) -> Tensor:
    return values / scale if isinstance(scale, Tensor) or scale != 1 else values


def _gradients(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: each.grad for name, each in parameters.items() if each.grad is not None}


def _sizes(kept: Sequence[_Joined]) -> dict[str, float]:
    """Return the norm of the kept entries, where they are at hand and neither zero nor without bounds."""
    found: dict[str, float] = {}
    for names, joined, sizes in kept:
        if joined.device.type == "cpu":
            squares = joined.double().numpy() ** 2
            totals = np.add.reduceat(squares, np.cumsum([0, *sizes[:-1]]))
            found |= {name: math.sqrt(total) for name, total in zip(names, totals.tolist(), strict=True)}
    return {name: norm for name, norm in found.items() if 0 < norm < math.inf}


def _norms(tensors: Mapping[str, Tensor]) -> Iterator[tuple[list[str], Tensor]]:
    """Yield the names and norms of those of a kind."""
    for names, values in _of_a_kind(tensors):
        yield names, torch.stack(norms_of(values, wide(values[0].device)))


def _of_a_kind(tensors: Mapping[str, Tensor]) -> Iterator[tuple[list[str], list[Tensor]]]:
    """Yield those of one device and precision together, but for what has no entries."""
    kinds: dict[tuple[torch.device, torch.dtype], tuple[list[str], list[Tensor]]] = {}
    for name, each in tensors.items():
        if each.numel():
            names, found = kinds.setdefault((each.device, each.dtype), ([], []))
            names.append(name)
            found.append(each)
    yield from kinds.values()


def _norm(values: Tensor) -> Tensor:
    (norm,) = norms_of([values], wide(values.device))
    return norm


def frozen_norms(modules: Mapping[str, nn.Module]) -> Iterable[tuple[str, nn.modules.batchnorm._NormBase]]:
    """Yield the normalisations of those parts of a network of which nothing is trained, though other parts are."""
    norms = {
        name: module for name, module in modules.items() if isinstance(module, _NORMS) and module.track_running_stats
    }
    if not norms or not any(each.requires_grad for each in modules[""].parameters()):
        return
    for name, module in norms.items():
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
    two = weight[:2].reshape(2, -1)[:, :SAMPLE]
    # No entry is larger than the norm: two units that are further apart than this say all.
    if float((two[0] - two[1]).abs().max()) > _ALIKE * float(_norm(weight)):
        return ""
    first = weight.reshape(-1)[0]
    if bool((weight == first).all()):
        return "zero" if float(first) == 0 else "constant"
    spread = (weight - weight[:1]).abs().max()
    return "units" if float(spread) <= _ALIKE * float(weight.abs().max()) else ""
