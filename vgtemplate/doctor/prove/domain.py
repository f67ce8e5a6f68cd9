"""Functions that are infinite, or have an infinite derivative, at the edge of their domain; and how to stay off it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_SMALL, _TINY = 1e-6, 1e-12
_LOGARITHMS = {"log", "log2", "log10"}
_QUOTIENTS = {"div", "__truediv__", "true_divide", "__rtruediv__", "reciprocal"}
_NORMS = {"norm", "vector_norm"}
_MASKED = {"softmax", "scaled_dot_product_attention", "multi_head_attention_forward"}
DOMAINS = _LOGARITHMS | _QUOTIENTS | _NORMS | _MASKED | {"logit", "sqrt", "rsqrt", "pow", "__pow__", "acos", "asin"}


def in_domain(function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function of DOMAINS with its arguments moved into its domain by an epsilon."""
    if name in _MASKED:
        means_seen = name == "scaled_dot_product_attention"
        named = {key: _unmasked(each, means_seen) for key, each in kwargs.items()}
        return function(*[_unmasked(each, means_seen) for each in args], **named)
    if not args or not isinstance(args[0], Tensor):
        return function(*args, **kwargs)
    x, *rest = args
    if name in _NORMS:
        return _norm(function, x, rest, kwargs)
    if name in ("div", "__truediv__", "true_divide"):
        return function(x, *[_off_zero(each) for each in rest], **kwargs)
    return function(_inside(name, x), *rest, **kwargs)


def _inside(name: str, x: Tensor) -> Tensor:
    if name in _LOGARITHMS:
        return x.clamp_min(0) + _SMALL
    if name == "logit":
        return x.clamp(_SMALL, 1 - _SMALL)
    if name in ("acos", "asin"):
        return x.clamp(-1 + _SMALL, 1 - _SMALL)
    if name in _QUOTIENTS:
        moved: Tensor = _off_zero(x)
        return moved
    return x.clamp_min(0) + _TINY if name in ("sqrt", "rsqrt") else torch.where(x == 0, x + _TINY, x)


def _off_zero(x: Any) -> Any:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return x
    smallest: Tensor = torch.where(x < 0, -_SMALL, _SMALL).to(x.dtype)
    return torch.where(x.abs() < _SMALL, smallest, x)


def _norm(function: Callable[..., Any], x: Tensor, rest: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return the Euclidean norm with an epsilon under its root; another norm as it is."""
    given = dict(zip(("p", "dim", "keepdim"), rest, strict=False)) | kwargs
    order = given.get("p", given.get("ord", 2))
    if order not in (2, 2.0, "fro", None):
        return function(x, *rest, **kwargs)
    axes = given.get("dim")
    squares = x.square()
    total = squares.sum() if axes is None else squares.sum(axes, keepdim=bool(given.get("keepdim", False)))
    return (total + _TINY).sqrt()


def _unmasked(x: Any, means_seen: bool) -> Any:
    """Return a mask, or scores, of which no row is masked whole.

    Args:
        means_seen: True in a mask stands for what is seen, not for what is hidden.
    """
    if not isinstance(x, Tensor) or x.dim() < 2:
        return x
    if x.dtype == torch.bool:
        return x | ~x.any(-1, keepdim=True) if means_seen else x & ~x.all(-1, keepdim=True)
    return x.masked_fill(x.isneginf().all(-1, keepdim=True), 0) if x.is_floating_point() else x
