"""Gradient clipping, one replica at a time: what one network's gradient does never scales another's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_EPS = 1e-6
"""torch.nn.utils.clip_grad_norm_ adds it to the norm."""


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def clip_by_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale each replica's whole gradient to a norm of at most `max_norm` (Pascanu et al. 2013, algorithm 1).

    Every parameter has the replica axis in front. A non-finite norm turns that replica's gradient non-finite, as
    torch.nn.utils.clip_grad_norm_ does, and leaves the others alone.

    Returns:
        The norms before clipping, (R,).
    """
    gradients = _gradients(parameters)
    norms: Tensor = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1) for gradient in gradients]),
        dim=0,
    )
    scale = (max_norm / (norms + _EPS)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def clip_by_value(parameters: Iterable[nn.Parameter], max_abs: float) -> None:
    """Clamp every entry of every gradient to [-max_abs, max_abs] (torch.nn.utils.clip_grad_value_)."""
    torch._foreach_clamp_min_(gradients := _gradients(parameters), -max_abs)
    torch._foreach_clamp_max_(gradients, max_abs)
