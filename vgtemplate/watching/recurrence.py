"""How the gradient fares on its way back through time, in a recurrent layer that torch runs as one function.

Such a layer shows its output only. So it is run once more, step by step, on copies, and what came back to its output
is sent through that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vgtemplate.watching.functions import own_graph

_CELLS: dict[str, Callable[..., Any]] = {
    "lstm": torch.lstm_cell,
    "gru": torch.gru_cell,
    "rnn_tanh": torch.rnn_tanh_cell,
    "rnn_relu": torch.rnn_relu_cell,
}
MOST_STEPS = 2000
"""A longer sequence is not run again."""


@dataclass
class Recurrence:
    """One call of a recurrent layer: its arguments, and what comes back to its outputs."""

    name: str
    args: Sequence[Any]
    arrived: dict[int, Tensor] = field(default_factory=dict)
    """Gradients by output: the sequence, then the final states."""


def why_not_run_again(name: str, args: Sequence[Any]) -> str | None:
    """Say why a call cannot be run again step by step; None if it can."""
    if len(args) != 9 or not isinstance(args[3], bool):
        return "packed sequences"
    _, _, weights, has_biases, num_layers, dropout, train, is_bidirectional, _ = args
    if is_bidirectional:
        return "both directions"
    if dropout and train and num_layers > 1:
        return "dropout between its layers"
    if len(weights) != num_layers * (4 if has_biases else 2):
        return "a projection"
    return f"more than {MOST_STEPS} steps" if max(args[0].shape[:2]) > MOST_STEPS else None


def profiles(call: Recurrence) -> list[Tensor]:
    """Return the RMS of dL/dh_t, (T,), of each layer of a recurrence, from what has come back to its outputs."""
    x, states, weights, has_biases, num_layers, _, _, _, batch_first = call.args
    per_layer = 4 if has_biases else 2
    sequence = x.detach().transpose(0, 1) if batch_first else x.detach()
    initial = [each.detach() for each in (states if isinstance(states, (list, tuple)) else (states,))]
    hidden: list[list[Tensor]] = []
    final: list[list[Tensor]] = []
    with own_graph(x.device):
        inputs = list(sequence.float() if sequence.dtype in (torch.float16, torch.bfloat16) else sequence)
        precision = inputs[0].dtype
        for layer in range(num_layers):
            own = [each.detach().to(precision) for each in weights[layer * per_layer : (layer + 1) * per_layer]]
            # What the first layer's states come from has no gradient; a state of its own gives the graph its start.
            start = [each[layer].to(precision).requires_grad_() for each in initial]
            inputs, end = _run(_CELLS[call.name], inputs, start, own)
            hidden.append(inputs)
            final.append(end)
        outputs = torch.stack(inputs, dim=1 if batch_first else 0)
        ends = [torch.stack(each) for each in zip(*final, strict=True)]
        produced = [outputs, *ends]
        chosen = sorted(call.arrived)
        wanted = [state for layer in hidden for state in layer]
        gradients = torch.autograd.grad(
            [produced[index] for index in chosen],
            wanted,
            [call.arrived[index].detach().to(precision) for index in chosen],
            allow_unused=True,
        )
    sizes = [
        torch.linalg.vector_norm(each, dtype=torch.float64) / each.numel() ** 0.5
        if each is not None
        else outputs.new_zeros((), dtype=torch.float64)
        for each in gradients
    ]
    steps = len(inputs)
    return [torch.stack(sizes[layer * steps : (layer + 1) * steps]) for layer in range(num_layers)]


def _run(
    cell: Callable[..., Any], inputs: Sequence[Tensor], start: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Run one layer step by step; return its hidden states, and the states after the last."""
    states, outputs = list(start), []
    for x in inputs:
        result = cell(x, states if len(states) > 1 else states[0], *weights)
        states = list(result) if isinstance(result, tuple) else [result]
        outputs.append(states[0])
    return outputs, states
