"""What flows through a network in one step: a mode that sees every torch function, however the network calls it.

It changes no value: functions are called as they would have been, and only copies are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vgtemplate.measure import DEAD
from vgtemplate.watching.functions import (
    CHANNELS_SECOND,
    LAYERS,
    PRODUCTS,
    RECURRENCES,
    activation_of,
    derivative,
    max_derivative,
)
from vgtemplate.watching.lens import Seen, see, summed, units_first
from vgtemplate.watching.listener import Listener
from vgtemplate.watching.recurrence import Recurrence, profiles, why_not_run_again
from vgtemplate.watching.rows import Row, leaves
from vgtemplate.watching.tally import AT_ACTIVATION, Tally, squares

_PASSED = (
    *("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RmsNorm", "View", "Reshape", "Transpose", "Permute"),
    *("Squeeze", "ToCopy", "Clone", "Contiguous", "TBackward", "Add", "Slice"),
)
"""Steps of autograd's graph between a layer and its activation that leave the layer its activation."""
_STEPS_BACK = 12
SATURATED = 0.1
"""A slope below so much of the largest one is that of a saturated unit."""
_SEVERAL = 3
"""Calls of a layer in one step from which they are told apart."""


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def in_backward() -> bool:
    """Say whether autograd is at work, as where a checkpoint computes a part of the network again."""
    return bool(torch._C._current_graph_task_id() != -1)


class Flow(TorchFunctionMode):
    """Writes what flows to a tally, while it is entered.

    Args:
        rows: what holds weights.
        num_replicas: R of a population; 1 of any other network.
        looks: "signals": measure signals, saturation and dead units; "gradients": what comes back.
        guard: calls what may go wrong, so that it never reaches the network.
        note: says what of a layer is not seen.
        arrives: called before what comes back is counted.
        row_of: returns the row of a parameter that is in none of them.
        listener: is told of everything besides, and measures signals and slopes itself.

    `places` has the order in which the rows were used first.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        tally: Tally,
        num_replicas: int,
        looks: Collection[str],
        guard: Callable[..., Any],
        note: Callable[[str, str], None],
        arrives: Callable[[], None],
        row_of: Callable[[Tensor], Row | None],
        listener: Listener | None = None,
    ) -> None:
        super().__init__()
        self._rows = {
            id(parameter): row for row in rows for parameter in (row.weight, row.bias) if parameter is not None
        }
        self._tally, self._num_replicas = tally, num_replicas
        self._forwards, self._backwards = "signals" in looks, "gradients" in looks
        self._guard, self._note, self._arrives, self._row_of = guard, note, arrives, row_of
        self._listener = listener
        self._is_brief = listener is not None and not looks
        self._stand_ins: dict[int, tuple[Tensor, Row | None]] = {}
        self._is_population = any(row.stacked for row in rows)
        self._made: dict[Any, tuple[Row, Seen]] = {}
        self._unit_axes: dict[Row, int] = {}
        self._handles: list[Any] = []
        self._newest_hooks: dict[Row, Any] = {}
        self._recurrences: list[tuple[Recurrence, list[Row]]] = []
        self._per_call: dict[Row, list[tuple[Tensor, int] | None]] = {}
        self._newest: tuple[Row, Seen] | None = None
        self.is_on = True
        self.places: dict[Row, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.is_on or (torch._C._functorch.peek_interpreter_stack() is not None and not self._is_population):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if self._is_brief:
            if name == "backward":
                self._guard(self._listener.calling, name, args, kwargs)  # type: ignore[union-attr]
            return func(*args, **kwargs)
        is_forward = not in_backward()
        tells = self._listener is not None and is_forward
        records = torch.is_grad_enabled()
        if tells:
            self._guard(self._listener.calling, name, args, kwargs, records)  # type: ignore[union-attr]
        is_activation = is_forward and bool(args) and activation_of(func) is not None
        source = self._guard(self._before_activation, func, args, kwargs) if is_activation else None
        result = func(*args, **kwargs)
        if name in LAYERS:
            self._guard(self._after_layer, name, args, kwargs, result)
        elif source is not None and self._forwards:
            self._guard(self._count_output, *source, result)
        if tells and records:
            self._guard(self._listener.returned, name, args, kwargs, result)  # type: ignore[union-attr]
        return result

    def _used(self, args: Any, kwargs: Any) -> list[tuple[Row, int | None]]:
        """Return the rows whose weights stand among a function's arguments, themselves or as what these come from.

        With each comes the replica that is running, where the networks of a population run in turn.
        """
        found: list[tuple[Row, int | None]] = []
        for tensor in _tensors([*args, *kwargs.values()]):
            seen = see(tensor)
            row = self._rows.get(id(seen.tensor))
            if row is None and isinstance(tensor, nn.Parameter):
                row = self._stand_in(tensor)
            if row is not None:
                found.append((row, None))
            elif seen.tensor.grad_fn is not None:
                known = ((self._rows.get(id(leaf)), place) for leaf, place in leaves(seen.tensor, self._made))
                found += [
                    (row, place if row.stacked and not seen.is_batched else None)
                    for row, place in known
                    if row is not None
                ]
        return found

    def _stand_in(self, weight: nn.Parameter) -> Row | None:
        if id(weight) not in self._stand_ins:
            # Kept with the tensor, so that no other takes its place in memory.
            self._stand_ins[id(weight)] = weight, self._row_of(weight)
        return self._stand_ins[id(weight)][1]

    def _after_layer(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        # Of a product any argument may be the weight; what is made of weights alone is a weight itself.
        candidates = args if name in PRODUCTS else args[1:]
        used = self._used(candidates, kwargs)
        if name in PRODUCTS and all(self._used([tensor], {}) for tensor in _tensors(args)):
            return
        for row, _ in used:
            self.places.setdefault(row, len(self.places))
        output = next(_tensors([result]), None)
        if not used or output is None or not output.is_floating_point():
            return
        row, replica = next((each for each in reversed(used) if each[0].is_matrix), used[-1])
        seen = see(output, replica)
        if not in_backward():
            self._unit_axes[row] = 1 if name in CHANNELS_SECOND else -1
            self._newest = row, seen
            if self._listener is not None:
                self._listener.layer(name, row, next(_tensors(args), None), seen)
            if self._forwards:
                self._count_output(row, seen, output, is_layer=True)
        if seen.tensor.grad_fn is not None:
            self._made[seen.tensor.grad_fn] = row, seen
        if seen.tensor.grad_fn is not None and self._backwards:
            self._watch(row, seen)
            if name in RECURRENCES and self._num_replicas == 1 and not in_backward():
                self._watch_recurrence(name, args, row, result)

    def _before_activation(self, func: Any, args: Any, kwargs: Any) -> tuple[Row, Seen] | None:
        z = args[0]
        if not isinstance(z, Tensor) or not z.is_floating_point():
            return None
        found = self._source(see(z).tensor)
        row, seen = found or self._newest or (None, None)
        if row is None or seen is None:
            return None
        seen = see(z, seen.replica)
        if found is not None and z.requires_grad and self._backwards:
            self._watch_activation(row, seen)
        if self._listener is not None:
            self._listener.activation(func, row, seen, self._unit_axes.get(row, -1), args[1:], kwargs)
        elif self._forwards:
            self._count_slopes(func, row, seen, args[1:], kwargs)
        return row, seen

    def _count_slopes(self, func: Any, row: Row, seen: Seen, args: Any, kwargs: Any) -> None:
        slope = derivative(func, seen.values, args, kwargs).abs()
        whole = Seen(slope, seen.is_batched, 0 if seen.is_batched else None, seen.replica)
        bound = SATURATED * max_derivative(activation_of(func) or "")
        total, count = squares(slope, whole.is_batched), whole.count
        broken = total.isnan()
        self._add("derivative_rms", row, whole, total, count, 0.5)
        self._add("saturated_fraction", row, whole, summed(slope < bound, whole).masked_fill(broken, torch.nan), count)
        units = units_first(slope, whole, self._unit_axes.get(row, -1))
        if units is not None:
            dead = summed(units.amax(dim=-1) < DEAD, whole).masked_fill(broken, torch.nan)
            self._add("dead_fraction", row, whole, dead, units.shape[-2])

    def _source(self, z: Tensor) -> tuple[Row, Seen] | None:
        """Return the layer whose output an activation is handed, past normalisations, shortcuts and views."""
        queue, found = [z.grad_fn], None
        for _ in range(_STEPS_BACK):
            node = queue.pop(0) if queue else None
            if node is None:
                break
            made = self._made.get(node)
            if made is not None and made[0].is_matrix:
                return made
            found = found or made
            if made is not None or any(word in node.name() for word in _PASSED):
                queue += [following for following, _ in node.next_functions if following is not None]
        return found

    def _count_output(self, row: Row, seen: Seen, result: Any, is_layer: bool = False) -> None:
        """Count a layer's output; that of its activation, where it has one, takes its place (tally.py)."""
        if isinstance(result, Tensor):
            output = see(result, seen.replica)
            if self._listener is not None:
                self._listener.output(row, output, is_layer)
                return
            mark = "" if is_layer else AT_ACTIVATION
            self._add("signal_rms" + mark, row, output, squares(output.values, output.is_batched), output.count, 0.5)
            self._add("signal_mean" + mark, row, output, summed(output.values, output), output.count)

    def _add(
        self,
        series: str,
        row: Row,
        seen: Seen,
        above: Tensor,
        below: float,
        power: float = 1.0,
        is_scaled: bool = False,
    ) -> None:
        """Count in the place of the replica, where the networks of a population run in turn."""
        if self._num_replicas > 1 and seen.replica is not None:
            place = torch.zeros(self._num_replicas, dtype=above.dtype, device=above.device)
            place[seen.replica] = 1
            self._tally.add(series, row, torch.where(place > 0, above, 0), place * below, power, is_scaled=is_scaled)
        else:
            self._tally.add(series, row, above, below, power, is_scaled=is_scaled)

    def _watch(self, row: Row, seen: Seen) -> None:
        self._per_call.setdefault(row, []).append(None)
        self._hook({row: "gradient_rms"}, row, seen)

    def _watch_activation(self, row: Row, seen: Seen) -> None:
        """Watch what comes back to an activation's input, in the place of what comes back to its layer's output."""
        normalisation = self._made.get(seen.tensor.grad_fn, (row, seen))[0]
        series = {normalisation: "gradient_rms", row: f"gradient_rms{AT_ACTIVATION}"}
        for each in series:
            if (handle := self._newest_hooks.pop(each, None)) is not None:
                handle.remove()
        self._hook(series, row, seen)

    def _hook(self, series: Mapping[Row, str], row: Row, seen: Seen) -> None:
        calls = self._per_call.get(row) or [None]
        place = len(calls) - 1

        def count(gradient: Tensor) -> None:
            self._arrives()
            arrived = seen.with_tensor(gradient)
            if self._listener is not None:
                total = self._listener.gradient(row, arrived)
            else:
                total = squares(arrived.values, arrived.is_batched)
            for each, name in series.items():
                self._add(name, each, arrived, total, arrived.count, 0.5, is_scaled=True)
            calls[place] = total, arrived.count

        handle = seen.tensor.register_hook(lambda gradient: self._guard(count, gradient))
        self._newest_hooks[row] = handle
        self._handles.append(handle)

    def _watch_recurrence(self, name: str, args: Any, row: Row, result: Any) -> None:
        if (reason := why_not_run_again(name, args)) is not None:
            self._note(f"the gradient over time is not seen ({reason})", row.name)
            return
        per_layer = 4 if args[3] else 2
        rows = [self._used([weight], {})[0][0] for weight in args[2][1::per_layer]]
        call = Recurrence(name, args)
        self._recurrences.append((call, rows))
        for index, output in enumerate(result):
            if output.requires_grad:
                self._handles.append(output.register_hook(partial(call.arrived.__setitem__, index)))

    def finish(self) -> None:
        """After the last backward pass of a step, while the weights still are as it found them."""
        recurrences, self._recurrences = self._recurrences, []
        for call, rows in recurrences:
            if call.arrived:
                self._tally.over_time |= dict(zip(rows, profiles(call), strict=True))
        for row, calls in self._per_call.items():
            arrived = [each for each in calls if each is not None]
            # To the last calls of a cell nothing may come back: nobody reads the states that they put out.
            is_whole = all(each is not None for each in calls[: len(arrived)])
            if self._num_replicas == 1 and len(arrived) >= _SEVERAL and is_whole:
                self._tally.over_time[row] = torch.stack([(total[0] / count).sqrt() for total, count in arrived])
        self._per_call = {}

    def close(self) -> None:
        """Take the hooks out and let the graph go."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._newest_hooks, self._made, self._newest, self._stand_ins = [], {}, {}, None, {}
