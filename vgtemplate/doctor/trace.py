"""Listens to a watched step: what its functions are handed and put out, beside the series that the watch measures."""

from __future__ import annotations

import contextlib
import math
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.doctor.evidence import (
    BOUNDED,
    CHUNK,
    NORMALISATIONS,
    BadOperation,
    Evidence,
    Inputs,
    Keep,
    LayerStep,
    Step,
)
from vgtemplate.doctor.losses import DIFFERENCES, LOSSES, arguments, describe, note_value
from vgtemplate.doctor.signals import Signals, some_samples
from vgtemplate.watching.flow import SATURATED
from vgtemplate.watching.functions import LAYERS, activation_of, derivative, max_derivative
from vgtemplate.watching.lens import Seen
from vgtemplate.watching.rows import Row
from vgtemplate.watching.tally import norms_of, squares, wide

_QUIET = {
    *("__get__", "__set__", "detach", "backward", "isnan", "isfinite", "isinf", "view", "reshape", "transpose"),
    *("permute", "flatten", "squeeze", "unsqueeze", "expand", "contiguous", "to", "size", "dim", "chunk", "split"),
    *("masked_fill", "masked_fill_", "full", "full_like", "where", "triu", "tril", "requires_grad_", "clone"),
    *("empty", "empty_like", "new_empty", "nan_to_num", "__setitem__", "fill_", "empty_strided", "_make_subclass"),
    *("relu", "relu_", "relu6", "leaky_relu", "sigmoid", "tanh", "hardtanh", "elu", "gelu", "silu", "embedding"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "cat", "stack"),
}
"""Functions that put out what is finite where their inputs are, or put infinities in on purpose."""
_TO_ZERO = {"log", "log2", "log10", "logit", "div", "__truediv__", "true_divide", "reciprocal", "rsqrt", "__rtruediv__"}
"""Functions that put out an infinity where their input is zero."""
_EDGES = {"sqrt", "rsqrt", "norm", "vector_norm", "pow", "__pow__", "acos", "asin", "cdist", "std", "pairwise_distance"}
"""Functions whose derivative is infinite, or not a number, at zero (or at one)."""
_ASKING = {"__get__", "size", "dim", "is_floating_point", "numel", "is_complex", "stride"}
"""Functions that ask what a tensor is, and use it for nothing."""
_SMALL_HALF = 2.0**-20
_SLOPES = 128
"""Samples of which the slopes of activations are looked at in a step; of ReLU all."""


class Trace:
    """A listener (watching/listener.py) that writes to the step at hand.

    Args:
        evidence: where what is known of all steps goes.
        keep: takes a tensor, and where its values go when the step ends.
    """

    def __init__(self, evidence: Evidence, keep: Keep) -> None:
        self.evidence, self._keep = evidence, keep
        self.step = Step(0)
        self.modules: list[str] = []
        """Names of the modules that are running, the innermost last."""
        self.known: set[int] = set()
        """Identities of the network's parameters."""
        self.is_all = False
        """Whether what is computed outside of the network's modules is the network's as well."""
        self.used: set[int] = set()
        """Those of them that some function of the network was handed."""
        self.used_apart: set[int] = set()
        """The same where no gradients are recorded."""
        self.signals = Signals(keep)
        self.before_backward: Callable[[Tensor], None] = lambda loss: None
        self._layers: list[str] = []
        self._own: set[str] = set()
        self._chunks: dict[str, int] = {}

    def begin(self, step: Step, model: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
        """Before the forward pass."""
        self.step, self.modules, self._layers = step, [], []
        self._own = set()
        self.signals.begin()
        self.known = {id(each) for each in (*parameters, *model.buffers())}
        # A LightningModule computes its loss itself, outside of any forward.
        self.is_all = hasattr(model, "training_step")

    def calling(self, name: str, args: Any, kwargs: Any, records: bool = True) -> None:
        if self.modules and name not in _ASKING:
            used = {id(each) for each in tensors([*args, *kwargs.values()])} & self.known
            (self.used if records else self.used_apart).update(used)
        if not records:
            return
        if name == "backward" and args and isinstance(args[0], Tensor):
            self.before_backward(args[0])
        elif name in LOSSES:
            self._look_at_loss(name, args, kwargs)
        elif name in DIFFERENCES and not self.modules and len(args) == 2 and all(isinstance(x, Tensor) for x in args):
            given, target = arguments(name, args, kwargs)
            # A residual has one side that is learned, and one that is not.
            if given.requires_grad != target.requires_grad and given.is_floating_point() and target.dim():
                self._look_at_loss("difference", args, kwargs)
        if name in _EDGES and self.step.edge is None:
            self._look_for_edge(name, args)

    def _look_at_loss(self, name: str, args: Any, kwargs: Any) -> None:
        call = describe(name, args, kwargs, place_in_code(), self._keep)
        if call is not None:
            self.step.losses.append(call)

    def _look_for_edge(self, name: str, args: Any) -> None:
        x = args[0] if args and isinstance(args[0], Tensor) else None
        if x is None or x.device.type != "cpu" or not x.requires_grad or not x.numel() or not x.is_floating_point():
            return
        values = x.detach()
        if "norm" in name and values.dim() > 1:
            values = values.abs().amax(-1)
        touches = values.abs() == 1 if name in ("acos", "asin") else values == 0
        if bool(touches.any()):
            self.step.edge = name, self._where()

    def returned(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        if name == "batch_norm":
            self._count_batch(args, kwargs.get("training", args[5] if len(args) > 5 else False))
        if name == "__get__" and isinstance(result, Tensor) and result.requires_grad:
            # What it was asked for is a view of it, as its transpose is.
            self.used |= {id(each) for each in tensors(args)} & self.known
        elif name == "__get__" and self.modules and isinstance(result, Tensor):
            # Its values are read past autograd, as by `.data`.
            self.used_apart |= {id(each) for each in tensors(args) if _shares(each, result)} & self.known
        if name in LAYERS:
            self._look_for_unregistered(args, kwargs)
        if name in LOSSES and self.step.losses and self.step.losses[-1].kind == name and isinstance(result, Tensor):
            note_value(self.step.losses[-1], args, kwargs, result, self._keep)
        if self.step.bad is not None or name in _QUIET:
            return
        for output in tensors([result]):
            if output.is_floating_point() and output.numel():
                self._look_for_bad(name, args, kwargs, output.detach())
                break

    def _count_batch(self, args: Any, is_training: Any) -> None:
        x, running_mean = args[:2]
        # Without running statistics it may be anything that is standardised, as weights are.
        if is_training is True and running_mean is not None:
            per_channel = x.numel() // max(1, x.shape[1])
            self.step.batch_counts[self.module] = per_channel, int(x.shape[0])

    def _look_for_unregistered(self, args: Any, kwargs: Any) -> None:
        if not self.modules and not self.is_all:
            return
        for tensor in tensors([*args[1:], *kwargs.values()]):
            if tensor.is_leaf and tensor.requires_grad and id(tensor) not in self.known:
                name = f"{self.module or 'the network'} ({place_in_code()})"
                self.step.unregistered[name] = tuple(tensor.shape)

    def _look_for_bad(self, name: str, args: Any, kwargs: Any, output: Tensor) -> None:
        # A mask's -inf is no fault; the largest value shows NaN and +inf alone.
        top = output.amin() if name in _TO_ZERO else output.amax()
        if output.device.type == "cpu":
            if not math.isfinite(top.item()):
                self._note_bad(name, args, kwargs, output)
        else:
            place = name, self.module, str(output.dtype).removeprefix("torch.")
            self._keep(top, lambda host: self._note_later(place, float(host[0])))

    def _note_bad(self, name: str, args: Any, kwargs: Any, output: Tensor) -> None:
        given = [each.detach() for each in tensors([*args, *kwargs.values()]) if each.is_floating_point()]
        largest = max((float(each.abs().nan_to_num(0, 0, 0).amax()) for each in given if each.numel()), default=0.0)
        wrong = output.isnan() | (output == torch.inf) | ((output == -torch.inf) if name in _TO_ZERO else False)
        samples: tuple[int, ...] = ()
        if output.dim() > 1:
            rows = wrong.flatten(1).any(1)
            samples = tuple(rows.nonzero().flatten().tolist()) if not bool(rows.all()) else ()
        self.step.bad = BadOperation(
            name,
            self.module,
            place_in_code(),
            bool(output.isnan().any()),
            any(bool(each.isinf().any()) for each in given),
            str(output.dtype).removeprefix("torch."),
            largest,
            samples,
            any(bool((each == 0).any()) for each in given),
        )

    def _note_later(self, place: tuple[str, str, str], top: float) -> None:
        if self.step.bad is None and not torch.isfinite(torch.tensor(top)):
            name, module, dtype = place
            self.step.bad = BadOperation(name, module, "", top != top, False, dtype, float("nan"), ())

    def layer(self, name: str, row: Row, data: Any, seen: Seen) -> None:
        self._layers.append(row.name)
        if row.is_matrix and row.name not in self.evidence.order:
            self.evidence.order.append(row.name)
        inputs = self.step.inputs
        if inputs is not None and not inputs.followed_by:
            inputs.followed_by = name
        is_first = len(self._layers) == 1 and not any(step.inputs for step in self.evidence.steps)
        is_data = isinstance(data, Tensor) and data.is_floating_point() and data.grad_fn is None and data.dim() > 1
        if is_first and is_data and name not in NORMALISATIONS and row.is_matrix:
            self.step.inputs = inputs = Inputs(row.name, "", *[float("nan")] * 3)
            self._measure_inputs(inputs, data.detach(), 1 if "conv" in name else -1)

    def _measure_inputs(self, inputs: Inputs, data: Tensor, axis: int) -> None:
        values = data.to(wide(data.device)).movedim(axis, 0).flatten(1)
        squared = values.square().mean(1)
        sizes = squared.sqrt()
        present = torch.where(sizes > 0, sizes, sizes.amax())
        found = torch.stack([squared.mean().sqrt(), present.amin(), sizes.amax()])

        def fill(host: Any) -> None:
            inputs.rms, inputs.smallest_feature, inputs.largest_feature = map(float, host)

        self._keep(found, fill)

    def output(self, row: Row, seen: Seen, is_layer: bool) -> None:
        note = self.step.layers.setdefault(row.name, LayerStep())
        # Its activation's output takes the place of its own.
        if is_layer and row.name in self.evidence.activations:
            return
        self.signals.note(row.name, note, seen, replaces=not is_layer and row.name in self._own)
        (self._own.add if is_layer else self._own.discard)(row.name)

    def activation(self, function: Any, row: Row, seen: Seen, axis: int, args: Any, kwargs: Any) -> None:
        name, first = activation_of(function) or "", int(seen.is_batched)
        values = seen.values
        if values.dim() - first < 2:
            return
        self.evidence.activations[row.name] = name
        unit = axis % (values.dim() - first) + first
        others = [each for each in range(first, values.dim()) if each != unit]
        if name == "relu":
            self._keep_slopes(row, values.amax(others), _slope_of_relu)
            return
        some = values if seen.axis is not None else some_samples(values, _SLOPES)
        slope = derivative(function, some, args, kwargs).abs()
        self._keep_slopes(row, slope.amax(others))
        if name in BOUNDED:
            note = self.step.layers.setdefault(row.name, LayerStep())
            flat = (slope < SATURATED * max_derivative(name)).sum(dtype=wide(slope.device)) / slope.numel()
            self._keep(flat + 0 * slope.sum(), lambda host: setattr(note, "saturated", float(host[0])))

    def _keep_slopes(self, row: Row, best: Tensor, slope: Callable[[Any], Any] = np.asarray) -> None:
        def fill(host: Any) -> None:
            host = slope(host)
            parts = self.evidence.slopes.setdefault(row.name, [])
            if parts and parts[-1].shape != host.shape:
                parts.clear()
            chunk = len(self.evidence.steps) // CHUNK
            if not parts or self._chunks.get(row.name) != chunk:
                parts.append(host)
            else:
                parts[-1] = np.maximum(parts[-1], host)
            self._chunks[row.name] = chunk

        self._keep(best, fill)

    def gradient(self, row: Row, seen: Seen) -> Tensor:
        note = self.step.layers.setdefault(row.name, LayerStep())
        values = seen.values
        note.count, note.dtype = seen.count, str(values.dtype).removeprefix("torch.")
        if not values.numel() or seen.axis is not None:
            total = squares(values, seen.is_batched)
            self._keep(total.sum().sqrt(), lambda host: setattr(note, "norm", float(host[0])))
            return total
        precision = wide(values.device)
        norm = norms_of([values], precision)[0].to(precision)
        self._keep(norm, lambda host: setattr(note, "norm", float(host[0])))
        if values.dtype == torch.float16:
            sizes = values.abs()
            present = sizes > 0
            lost = (present & (sizes < _SMALL_HALF)).sum() / present.sum().clamp_min(1)
            lost = torch.where(present.any(), lost, torch.ones_like(lost))
            self._keep(lost, lambda host: setattr(note, "lost", float(host[0])))
        if row.name in self._layers[:1] and values.dim() == 3:
            sizes = torch.linalg.vector_norm(values, dim=(0, 2), dtype=precision)
            self._keep(sizes, lambda host: setattr(note, "by_place", host))
        return norm.square().reshape(1)

    @property
    def module(self) -> str:
        """The innermost module that is running."""
        return self.modules[-1] if self.modules else ""

    def _where(self) -> str:
        return ", ".join(filter(None, [self.module, place_in_code()]))


def _shares(one: Tensor, two: Tensor) -> bool:
    """Say whether two tensors begin at the same place in memory; of what has none, as some subclasses, it is not."""
    with contextlib.suppress(RuntimeError):
        return one.layout == two.layout == torch.strided and one.data_ptr() == two.data_ptr() != 0
    return False


def _slope_of_relu(largest: Any) -> Any:
    """Return the largest slope of each unit, from the largest value that it was handed."""
    return np.where(np.isnan(largest), np.nan, largest > 0)


def tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among values, and in their lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors(value)


_OURS = Path(__file__).resolve().parents[1]
_FOLDERS = (*site.getsitepackages(), Path(torch.__file__).parent, _OURS, Path(site.__file__).parent)
_LIBRARIES = tuple({f"{folder}{os.sep}" for folder in (*_FOLDERS, sysconfig.get_path("scripts"))})


def place_in_code() -> str:
    """Return file and line of the innermost code that belongs to no library."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((*_LIBRARIES, "<")):
            return f"{Path(name).name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
