"""One network's training, watched: what is looked at in a step, from its forward pass to what its optimisers do.

Whoever drives it says when a step begins and ends. Whatever goes wrong in looking is noted, never raised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from vgtemplate.watching.aside import Aside
from vgtemplate.watching.flow import Flow
from vgtemplate.watching.listener import Listener
from vgtemplate.watching.measurements import Measurements
from vgtemplate.watching.rows import Row, find_rows, population_in
from vgtemplate.watching.scaling import find_scaler, loss_scale, scale_left
from vgtemplate.watching.tally import Array, Tally
from vgtemplate.watching.weights import Weights

Optimizer = torch.optim.Optimizer
LOOKS = ("gradients", "signals", "weights")
_SHARES = "of several processes each sees its own share, of the batch and of weights that are divided among them"
_SHARED = "its own gradient_rms is not seen (a function does several weights' work, or what follows works in place)"
_UNUSED = "no layer's function used it in some step, so that nothing is seen to flow through it there"
SCRIPTED = "what flows inside a scripted module is not seen; its weights are"
_GAP = "before the first step that is seen, parameters had no shape yet (lazy modules)"


class Watcher:
    """Looks at a network in the steps that it is told to.

    Args:
        model: any network; a population of `replicate` gives R values where others give one.
        measurements: where the series go.
        looks: what to look at, of LOOKS.
        initial: the weights from which the travel counts, by layer; filled where they are missing.
        listener: is told of everything that flows; signals and weights are its own to measure.
    """

    def __init__(
        self,
        model: nn.Module,
        measurements: Measurements,
        looks: Iterable[str] = LOOKS,
        initial: dict[str, Tensor] | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.model, self.measurements, self.looks = model, measurements, set(looks)
        self._wanted = self.looks
        self._listener = listener
        self.initial: dict[str, Tensor] = {} if initial is None else initial
        self.accumulated = 1
        population = population_in(model)
        self._num_replicas = int(getattr(population, "num_replicas", 1))
        self._parameters: list[tuple[int, bool]] = []
        self._rows: list[Row] = []
        self._owners: dict[Optimizer, set[int]] = {}
        self.held: set[int] = set()
        """Identities of parameters that some optimiser has which has not stepped yet."""
        self._places: dict[Row, int] = {}
        self._tally = Tally()
        self._flow: Flow | None = None
        self._weights: Weights | None = None
        self._handles: list[Any] = []
        self._is_queued = False
        self._is_closed = False
        self.is_looking = False
        self._backward: int | None = None

    def guard(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call what looks; where it fails, what it looked for is left out, which is noted."""
        try:
            with Aside():
                return function(*args, **kwargs)
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            self.measurements.note(f"not measured ({function.__name__.strip('_')}: {type(error).__name__}: {reason})")
            return None

    @property
    def sees_flow(self) -> bool:
        """Whether what flows in this step can be seen."""
        return self._flow is not None

    def tell_of_calls(self, before: Callable[..., None], after: Callable[..., None]) -> bool:
        """Call two functions, as forward hooks are, around each call of a module in this step.

        Returns:
            Whether it does so; else it hears of no calls itself.
        """
        return False

    @property
    def sees_now(self) -> bool:
        """Whether what flows at this moment is seen."""
        return self._flow is not None and self._flow.is_on and self._flow in _get_current_function_mode_stack()

    def begin(self, optimizers: Collection[Optimizer] = (), briefly: bool = False) -> None:
        """Before the forward pass of a probed step.

        Args:
            briefly: nothing is measured; a listener hears when the backward pass begins, and nothing else.
        """
        self.looks = set() if briefly else self._wanted
        self.guard(self._begin_briefly if briefly else self._begin, optimizers)

    def _begin_briefly(self, _: Collection[Optimizer]) -> None:
        # What the newest step of which all was looked at has shown of the network still holds.
        self.is_looking = bool(self._parameters)
        if self.is_looking and not self._is_closed:
            self._flow = self._make_flow()

    def _make_flow(self) -> Flow:
        says = self.guard, self.measurements.note, self._note_arrival, self._row_of
        return Flow(self._rows, self._tally, self._num_replicas, self.looks, *says, self._listener)

    def _begin(self, optimizers: Collection[Optimizer]) -> None:
        found = list(self.model.parameters())
        if any(is_lazy(each) for each in (*found, *self.model.buffers())):
            self.measurements.note(_GAP)
            return
        if _num_processes() > 1:
            self.measurements.note(_SHARES)
        # Found anew where parameters came, went, were frozen or set free.
        parameters = [(id(each), each.requires_grad) for each in found]
        if parameters != self._parameters:
            self._parameters = parameters
            self._rows, self._places = find_rows(self.model), {}
            self._weights = Weights(self._rows, self.initial)
        for optimizer in optimizers:
            self._know(optimizer)
        if "weights" in self.looks and self._weights is not None:
            self._weights.remember()
        self.is_looking = True
        self._is_closed = _is_compiled(self.model)
        if self._is_closed:
            self.measurements.note("what flows inside a compiled network is not seen; its weights are")
        else:
            self._flow = self._make_flow()
        if "gradients" in self.looks:
            weights = [row.weight for row in self._rows if row.weight.requires_grad and row.weight.is_leaf]
            self._handles = [each.register_post_accumulate_grad_hook(self._note_backward) for each in weights]

    def _row_of(self, weight: Tensor) -> Row | None:
        """Return the row whose parameter a tensor stands in for at this moment, as under fsdp the whole for a share."""
        found = next((name for name, each in self.model.named_parameters() if each is weight), None)
        return next((row for row in self._rows if found in row.parameters), None)

    def _know(self, optimizer: Optimizer) -> None:
        self._owners[optimizer] = {id(each) for group in optimizer.param_groups for each in group["params"]}

    def enter(self) -> None:
        """From here on, what flows is seen."""
        if self._flow is not None:
            self._flow.is_on = True
            if self._flow not in _get_current_function_mode_stack():
                self._flow.__enter__()  # type: ignore[no-untyped-call]

    def leave(self) -> None:
        """Until here; where another mode was entered since and not left, ours stays, and does nothing, until it is."""
        if self._flow is not None and self._flow.is_on:
            self._flow.is_on = False
            while (modes := _get_current_function_mode_stack()) and isinstance(modes[-1], Flow) and not modes[-1].is_on:
                modes[-1].__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _note_backward(self, _: Tensor) -> None:
        if not self._is_queued:
            self._is_queued = True
            torch.autograd.Variable._execution_engine.queue_callback(self._backward_ended)

    def _note_arrival(self) -> None:
        """Forget an earlier backward pass whose gradients were thrown away: mixed precision skips a step so."""
        backward = torch._C._current_graph_task_id()
        if backward != self._backward:
            if self._backward is not None and all(row.weight.grad is None for row in self._rows):
                self._tally.drop_backward()
            self._backward = backward

    def _backward_ended(self) -> None:
        self._is_queued = False
        self.guard(self._count_gradients, None, lambda row: True)

    @property
    def _measures_norms(self) -> bool:
        return "gradients" in self.looks and self._listener is None

    def _count_gradients(self, scale: Tensor | float | None, chosen: Callable[[Row], bool]) -> None:
        if self.is_looking and self._weights is not None and self._measures_norms:
            self._weights.gradients(self._tally, "weight_grad_norm_before_clip", chosen, scale)
            self._weights.bias_gradients(self._tally, chosen, scale)

    def before_clip(self, optimizer: Optimizer, scaler: Any = None) -> None:
        """After the last backward pass of a step, where something may still clip its gradient."""
        self.guard(self._before_clip, optimizer, scaler)

    def _before_clip(self, optimizer: Optimizer, scaler: Any) -> None:
        self._count_gradients(scale_left(optimizer, scaler), self._moved_by(optimizer))

    def _moved_by(self, optimizer: Optimizer) -> Callable[[Row], bool]:
        self._know(optimizer)
        return lambda row: id(row.weight) in self._owners[optimizer]

    def before_step(self, optimizer: Optimizer) -> None:
        """Before an optimiser steps, its gradients complete and clipped."""
        self.guard(self._before_step, optimizer)

    def _before_step(self, optimizer: Optimizer) -> None:
        if not self.is_looking or self._weights is None:
            return
        moved = self._moved_by(optimizer)
        if "weights" in self.looks:
            self._weights.keep(moved)
        self._settle(optimizer)

    def _settle(self, optimizer: Optimizer) -> None:
        """Note what has come backwards for an optimiser, now that its gradient is complete."""
        if not self.is_looking or self._weights is None:
            return
        moved, scaler = self._moved_by(optimizer), find_scaler()
        if scaler is not None:
            self._weights.forget_gradients()
        if self._flow is not None:
            self.guard(self._flow.finish)
        self._tally.settle(lambda row: not moved(row) and self._is_owned(row), loss_scale(scaler), self.accumulated)
        if self._measures_norms:
            self._weights.gradients(self._tally, "weight_grad_norm_after_clip", moved, scale_left(optimizer, scaler))

    def _is_owned(self, row: Row) -> bool:
        return id(row.weight) in self.held or any(id(row.weight) in owned for owned in self._owners.values())

    def with_closure(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        """Return an optimiser's closure (forward and backward pass, clipping), after which its gradient is complete."""
        if self.is_looking and self._weights is not None and "weights" in self.looks:
            self.guard(self._weights.keep, self._moved_by(optimizer))

        def watched() -> Any:
            result = closure()
            self.guard(self._settle, optimizer)
            return result

        return watched

    def after_step(self, optimizer: Optimizer) -> None:
        """After an optimiser has stepped."""
        if self.is_looking and self._weights is not None:
            self.guard(self._weights.moved, self._tally)

    def end(self, step: int) -> dict[str, dict[str, Array]]:
        """After all of a step; return what it has measured, by series and layer, (R,)."""
        newest = None
        if self.is_looking and self._weights is not None:
            self.guard(self._say_what_is_missing)
            newest = self.guard(self._flush, step)
        self.drop()
        return newest or {}

    def _flush(self, step: int, host: Mapping[int, Array] | None = None) -> dict[str, dict[str, Array]]:
        places = self._order()
        return self._tally.flush(step, self.measurements, places.__getitem__, host)

    def _order(self) -> dict[Row, int]:
        """Return where each row stands among the layers: in the order of their first call, else of their definition."""
        called = self._flow.places if self._flow is not None else {}
        for row in called:
            self._places.setdefault(row, len(self._places))
        # What was never called stands last.
        rest = (row for row in self._rows if row not in self._places)
        return self._places | {row: len(self._places) + place for place, row in enumerate(rest)}

    def drop(self) -> None:
        """Forget the step that has begun, and let the network go."""
        self.leave()
        for handle in self._handles:
            handle.remove()
        if self._flow is not None:
            self.guard(self._flow.close)
        self._handles, self._flow, self._is_queued, self.is_looking = [], None, False, False
        self._tally, self._backward = Tally(), None

    def _say_what_is_missing(self) -> None:
        for row in self._rows:
            if (reason := self._why_without_gradient(row)) is not None:
                self.measurements.note(reason, row.name)
            if self._flow is not None and row not in self._flow.places:
                self.measurements.note(_UNUSED, row.name)

    def _why_without_gradient(self, row: Row) -> str | None:
        if not row.weight.requires_grad:
            return "frozen: no gradient, and it does not move"
        if not self._is_owned(row):
            return "in no optimiser: it does not move"
        if "gradients" not in self.looks:
            return None
        if row.weight.grad is None:
            return "no gradient has come back to it"
        is_called = self._flow is not None and row in self._flow.places and row.is_matrix
        return _SHARED if is_called and not self._tally.has("gradient_rms", row) else None


def foreign_modes() -> list[Any]:
    """Return the modes that others have entered, but for the devices', which may be left in any order."""
    return [mode for mode in _get_current_function_mode_stack() if not isinstance(mode, (Flow, DeviceContext))]


def _num_processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _is_compiled(model: nn.Module) -> bool:
    """Say whether any of it is compiled, also as Lightning does it: there a mode would have it compiled once more."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    return dynamo is not None and any(
        isinstance(each, dynamo.OptimizedModule)
        or each._compiled_call_impl is not None
        or getattr(each, "_compiler_ctx", None) is not None
        for each in model.modules()
    )
