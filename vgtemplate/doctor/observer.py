"""A watcher that gathers evidence besides its series: everything that the rules of the doctor need."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vgtemplate.doctor.evidence import Evidence, LayerStep, Parameter, ParameterStep, Step
from vgtemplate.doctor.graph import Mark, walk
from vgtemplate.doctor.hidden import hidden
from vgtemplate.doctor.ledger import Ledger, alike
from vgtemplate.doctor.network import decay_rates, moved_by
from vgtemplate.doctor.trace import Trace
from vgtemplate.watching.measurements import Measurements
from vgtemplate.watching.scaling import find_scaler, scale_left
from vgtemplate.watching.tally import Array, to_host
from vgtemplate.watching.watcher import SCRIPTED, Watcher

Optimizer = torch.optim.Optimizer
_LOOKS = ("gradients", "signals")


class Observer(Watcher):
    """Looks at a network in the steps that it is told to, for the doctor; `evidence` is what it has found."""

    def __init__(self, model: nn.Module) -> None:
        self.evidence = Evidence(Measurements())
        self._kept: list[tuple[Tensor, Callable[[Any], None]]] = []
        self._waiting: list[tuple[Tensor, Callable[[Any], None]]] = []
        self.trace = Trace(self.evidence, self._keep)
        super().__init__(model, self.evidence.measurements, _LOOKS, listener=self.trace)
        self.trace.before_backward = self.before_backward
        self._names: dict[nn.Parameter, str] = {}
        self._ledger = Ledger(self._names, self._keep)
        self._step = Step(0)
        self._module_hooks: list[Any] = []
        self._before_call: Callable[..., None] = lambda *_: None
        self._after_call: Callable[..., None] = lambda *_: None
        self._hidden: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._marks: list[weakref.ref[Mark] | None] = []
        self._host: Mapping[int, Array] | None = None
        self._is_paused = self._is_heard = self._hears = False

    def _keep(self, tensor: Tensor, into: Callable[[Any], None]) -> None:
        self._kept.append((tensor.detach(), into))

    def begin(self, optimizers: Collection[Optimizer] = (), briefly: bool = False) -> None:
        super().begin(optimizers, briefly)
        if self.is_looking:
            self.guard(self._begin_step, briefly)

    def _begin_step(self, briefly: bool) -> None:
        self._step, self._kept, self._is_heard = Step(-1, briefly), [], False
        if briefly:
            return
        # Where a script ends by itself nothing is held any more.
        self.evidence.kept_graphs = self._num_kept()
        self._names = {each: name for name, each in self.model.named_parameters() if not is_lazy(each)}
        self._ledger.names = self._names
        if not self.evidence.steps and not self.evidence.constant:
            self.evidence.constant = self._alike()
        modules = dict(self.model.named_modules())
        self._ledger.begin(modules)
        self.trace.begin(self._step, self.model, self._names)
        self._hidden = self.guard(hidden, modules, self.trace.known) or {}
        for name, module in modules.items():
            if isinstance(module, torch.jit.ScriptModule):
                self.measurements.note(SCRIPTED)
            else:
                self._module_hooks += [
                    module.register_forward_pre_hook(partial(self._entered_module, name)),
                    module.register_forward_hook(self._left_module, always_call=True),
                ]

    def tell_of_calls(self, before: Callable[..., None], after: Callable[..., None]) -> bool:
        self._before_call, self._after_call = before, after
        return bool(self._module_hooks)

    def _entered_module(self, name: str, module: nn.Module, args: Any) -> None:
        self._before_call(module, args)
        self.trace.modules.append(name)

    def _left_module(self, *called: Any) -> None:
        if self.trace.modules:
            self.trace.modules.pop()
        self._after_call(*called)

    def _alike(self) -> dict[str, str]:
        trained = ((name, each) for each, name in self._names.items() if each.requires_grad)
        return {name: found for name, each in trained if (found := alike(each))}

    def before_backward(self, loss: Tensor) -> None:
        """Between the forward and the backward pass."""
        self.guard(self._before_backward, loss)

    def _before_backward(self, loss: Tensor) -> None:
        if not self.is_looking or loss.numel() != 1:
            return
        step, self._is_heard = self._step, True
        self._keep(loss, lambda host: setattr(step, "loss", float(host[0])))
        if step.is_brief:
            return
        self._ledger.before_backward()
        graph = walk(loss)
        step.nodes = max(step.nodes, graph.nodes)
        # A function of the user's own is seen here alone.
        self.trace.used |= graph.leaves & self.trace.known
        step.unregistered |= {name: shape for leaf, (name, shape) in self._hidden.items() if leaf in graph.leaves}
        self._marks.append(graph.mark)

    def _note_backward(self, parameter: Tensor) -> None:
        if self._ledger.is_waiting:
            self.guard(self._ledger.accumulated, parameter)

    def before_step(self, optimizer: Optimizer) -> None:
        if self.is_looking:
            self.guard(self._note_before_step, optimizer)
        if not self._step.is_brief:
            super().before_step(optimizer)
        # Of the optimiser's own functions, which are many, nothing is asked.
        self._is_paused = self.sees_now
        self.leave()

    def _note_before_step(self, optimizer: Optimizer) -> None:
        scaler = find_scaler()
        self._step.is_scaled |= scaler is not None
        if self._step.is_brief:
            self._ledger.before_step(self._step, moved_by(optimizer), scale_left(optimizer, scaler))
            return
        self.evidence.num_optimisers = len(self._owners)
        self.evidence.decay_rates = [found for each in self._owners for found in decay_rates(each)]
        owned = moved_by(optimizer)
        foreign = [each for each in owned if each not in self._names]
        self.evidence.foreign = sum(each.numel() for each in foreign)
        # What moves its inputs alone, as style transfer does, has other shapes.
        self.evidence.holds_copy = bool(foreign) and _shapes(foreign) == _shapes(self._names)
        self._ledger.before_step(self._step, owned, scale_left(optimizer, scaler))

    def with_closure(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        watched = super().with_closure(optimizer, closure)

        def noted() -> Any:
            result = watched()
            if self.is_looking:
                self.guard(self._note_before_step, optimizer)
            return result

        return noted

    def after_step(self, optimizer: Optimizer) -> None:
        if self._is_paused:
            self.enter()
        self._is_paused = False
        super().after_step(optimizer)
        if self.is_looking:
            owned = moved_by(optimizer)
            self.guard(self._ledger.after_step, self._step, owned)

    def end(self, step: int) -> dict[str, dict[str, Array]]:
        if self.is_looking and self._step.is_brief:
            self._step.number = step
            # Where the loop calls the network in another way than before, its loss may not be heard.
            if self._is_heard or not self._hears:
                self.evidence.between.append(self._step)
                # Moved to the host with the next step of which all is looked at.
                self._waiting += self._kept
            self.drop()
            return {}
        if self.is_looking:
            self.guard(self._end_step, step)
        return super().end(step)

    def _end_step(self, number: int) -> None:
        step, self._hears = self._step, self._is_heard
        step.number = number
        self.trace.signals.measure()
        self._ledger.end(step)
        if not self.evidence.parameters or len(self.evidence.steps) % 10 == 0:
            self._describe_parameters()
        self._host = self._fetch(self._kept, self._tally.tensors())
        self._keep_series(step)
        if number not in self.evidence.numbers[-1:]:
            self.evidence.steps.append(step)

    def _keep_series(self, step: Step) -> None:
        """Keep what is known by layer of the signals and steps as series beside the gradients'."""
        series: dict[str, dict[str, float]] = {"signal_rms": {}, "saturated_fraction": {}, "update_ratio": {}}
        rows = list(self._order())
        for row in rows:
            layer = step.layers.get(row.name, LayerStep())
            note = step.parameters.get(self._names.get(row.weight, ""))
            ratio = math.nan if note is None else _ratio(note)
            for name, value in zip(series, (layer.signal, layer.saturated, ratio), strict=True):
                if not math.isnan(value):
                    series[name][row.name] = value
        known = [row.name for row in rows if any(row.name in values for values in series.values())]
        for name, values in series.items():
            if values:
                columns = np.array([[values.get(each, np.nan) for each in known]])
                self.measurements.keep(step.number, name, known, columns)

    def _flush(self, step: int, host: Mapping[int, Array] | None = None) -> dict[str, dict[str, Array]]:
        host, self._host = self._host, None
        return super()._flush(step, host)

    def _fetch(
        self, kept: list[tuple[Tensor, Callable[[Any], None]]], others: Collection[Tensor] = ()
    ) -> dict[int, Array]:
        """Move what was kept to the host, and other tensors with it, which are returned by identity: one transfer."""
        kept, self._kept, self._waiting = [*self._waiting, *kept], [], []
        host = to_host([*(tensor for tensor, _ in kept), *others])
        for tensor, into in kept:
            into(host[id(tensor)])
        return host

    def _describe_parameters(self) -> None:
        owned = self.held.union(*self._owners.values())
        for each, name in self._names.items():
            known = self.evidence.parameters.get(name)
            self.evidence.parameters[name] = Parameter(
                name,
                name.rpartition(".")[0],
                tuple(each.shape),
                each.requires_grad,
                id(each) in owned,
                id(each) in self.trace.used or (known is not None and known.is_used),
                is_used_apart=id(each) in self.trace.used_apart or (known is not None and known.is_used_apart),
                dtype=str(each.dtype).removeprefix("torch."),
            )

    def drop(self) -> None:
        super().drop()
        for handle in self._module_hooks:
            handle.remove()
        self._module_hooks, self._kept = [], []

    def conclude(self) -> Evidence:
        """After the last step; return the evidence."""
        self.drop()
        self.guard(self._fetch, [])
        self.guard(self._conclude)
        self.evidence.notes = list(self.measurements.notes)
        return self.evidence

    def _conclude(self) -> None:
        self.evidence.still_constant = self._alike()
        self.evidence.kept_graphs = max(self.evidence.kept_graphs, self._num_kept())

    def _num_kept(self) -> int:
        """Return how many earlier steps' graphs somebody holds; the newest two may well be at hand still."""
        return sum(mark is not None and mark() is not None for mark in self._marks[:-2])


def _shapes(tensors: Iterable[Tensor]) -> Counter[torch.Size]:
    return Counter(each.shape for each in tensors)


def _ratio(note: ParameterStep) -> float:
    """Return how far a step has moved a parameter, relative to its size, by the entries that were kept."""
    if not len(note.after) == len(note.before) > 0:
        return math.nan
    way, size = note.after - note.before, float(note.before @ note.before)
    return math.sqrt(float(way @ way) / size) if size > 0 else math.nan
