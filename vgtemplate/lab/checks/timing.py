"""What an activation costs, measured here and now: the only check whose numbers are the machine's."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, derive
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.activations import FUNCTIONS

_ELEMENTS = 4_000_000
_BLOCKS = 10
_ROUNDS = 5
_CLAIM = 39
"""The seed of the draw: the claim's number in docs/register.md."""


def _time(name: str, z: Tensor, upstream: Tensor) -> float:
    """Return the seconds of one forward and backward pass."""
    started = time.perf_counter()
    torch.autograd.grad(FUNCTIONS[name](z), z, upstream)
    return time.perf_counter() - started


@check("wall time, ten blocks of five rounds in turn; differs by machine", quantities="time_ratio")
def elu_costs_more() -> dict[str, list[float]]:
    """Return the time of ELU over that of Leaky ReLU, forward and backward on 4 million elements, block by block.

    The two take turns in one process; a block's ratio is that of the medians over its rounds.
    """
    generator = torch.Generator().manual_seed(derive(_CLAIM, Stream.CHECKS))
    z = torch.randn(_ELEMENTS, generator=generator).requires_grad_()
    upstream = torch.randn(_ELEMENTS, generator=generator)
    _time("elu", z, upstream), _time("leaky_relu", z, upstream)
    ratios = []
    for _ in range(_BLOCKS):
        pairs = [(_time("elu", z, upstream), _time("leaky_relu", z, upstream)) for _ in range(_ROUNDS)]
        elu, leaky = zip(*pairs, strict=True)
        ratios.append(statistics.median(elu) / statistics.median(leaky))
    return {"time_ratio": ratios}
