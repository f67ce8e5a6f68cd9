"""What a loss function is handed: shapes, ranges, what made it; facts only, no judgement."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vgtemplate.doctor.evidence import Keep, LossCall
from vgtemplate.watching.tally import wide

CLASSES = {"cross_entropy", "nll_loss"}
BINARY = {"binary_cross_entropy", "binary_cross_entropy_with_logits"}
DISTANCES = {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"}
DIFFERENCES = {"sub", "__sub__", "__rsub__", "rsub", "subtract"}
PAIRS = {"cosine_embedding_loss", "margin_ranking_loss"}
"""Losses of two inputs, whose target is the third argument."""
SIGNS = {"soft_margin_loss", "hinge_embedding_loss"} | PAIRS
"""Losses whose targets are -1 and 1."""
LOSSES = CLASSES | BINARY | DISTANCES | SIGNS | {"kl_div", "poisson_nll_loss", "ctc_loss"}
_VIEWS = ("View", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Permute", "ToCopy", "Clone", "Select", "TBackward")
_JOINTS = ("CatBackward", "StackBackward")
_TWO_ENDS, _AFFINE, _STEPS_BACK = ("sigmoid", "tanh", "softmax"), ("add", "sub", "rsub", "mul", "div", "neg"), 4
_MOST_CLASSES = 50_000
_MOST_COLUMNS = 4096
_MOST_ENTRIES, _MOST_ROWS = 4096, 256
"""Of so many entries and samples it is told which share is flat, and how rows add up."""


def _at_ends(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (x == low) | (x == high)


def _at_ends_of_one(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return x * (1 - x) < 0.025


def _near_its_ends(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return _at_ends_of_one((x - low) / (high - low), low, high)


_FLAT: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    **dict.fromkeys(("sigmoid", "softmax", "hardsigmoid"), _at_ends_of_one),
    "tanh": lambda x, low, high: 1 - x * x < 0.1,
    **dict.fromkeys(("hardtanh", "clamp"), _at_ends),
}
"""By what made an output: where it is flat, told from the output with its least and largest value."""


def _past_views(node: Any) -> Any:
    """Return the node of autograd's graph that made what only changes its shape from here on.

    Of what is put together, as positive and negative samples are, that of the first where all were made alike.
    """
    while node is not None and node.next_functions:
        parts = [_past_views(part) for part, _ in node.next_functions] if node.name().startswith(_JOINTS) else []
        if parts and len({_name_of(part) for part in parts}) == 1 and parts[0] is not None:
            return parts[0]
        following = node.next_functions[0][0]
        if following is None or not any(word in node.name() for word in _VIEWS):
            break
        node = following
    return node


def maker_of(tensor: Tensor) -> Any:
    """Return the node of autograd's graph behind a tensor, past views."""
    return _past_views(tensor.grad_fn)


def _name_of(node: Any) -> str:
    """Return "Softmax", "Sigmoid", "Addmm", ..., "" of None."""
    return "" if node is None else str(node.name()).rstrip("0123456789").removesuffix("Backward")


def _mixes_axes(tensor: Tensor) -> bool:
    """Say whether a view has made classes of what were channels or places, without their axis being moved.

    That is so of (B, C, ...), as a convolution puts it out, made to (B * ..., C), and of (B, T, C) made to (B, C, T).
    """
    node: Any = tensor.grad_fn
    shape = tuple(tensor.shape)
    while node is not None and node.name().startswith(("ViewBackward", "UnsafeViewBackward")):
        before = tuple(getattr(node, "_saved_self_sym_sizes", ()))
        if len(before) == 3 and shape == (before[0], before[2], before[1]) and 1 < min(shape[1:]) < max(shape[1:]):
            return True
        shape, node = before, node.next_functions[0][0]
    is_by_channel = node is not None and "Convolution" in node.name() and len(shape) > 2
    return is_by_channel and tensor.dim() == 2 and tensor.shape[1] == shape[1] and tensor.shape[0] > shape[0]


def _are_cosines(tensor: Tensor) -> bool:
    """Say whether it is the product of two matrices that were both divided, as by the norms of their rows."""
    maker = maker_of(tensor)
    if _name_of(maker) not in ("Mm", "Bmm"):
        return False
    return all(_name_of(_past_views(node)) == "Div" for node, _ in maker.next_functions[:2])


def _axis_of(node: Any) -> int | None:
    axis = getattr(node, "_saved_dim", None)
    # A sum or mean has several. Autograd keeps a negative axis as an unsigned number.
    return int(axis) - (1 << 64 if axis >= 1 << 63 else 0) if isinstance(axis, int) else None


def arguments(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return a loss function's input and target."""
    if name in PAIRS:
        return args[0] if args else kwargs.get("input1"), args[2] if len(args) > 2 else kwargs.get("target")
    first = args[0] if args else kwargs.get("input")
    second = args[1] if len(args) > 1 else kwargs.get("target", kwargs.get("other"))
    return (second, first) if name in ("__rsub__", "rsub") else (first, second)


def describe(name: str, args: Any, kwargs: Any, place: str, keep: Keep) -> LossCall | None:
    """Return what a loss function was handed; numbers are filled in when they reach the host.

    Args:
        keep: takes a tensor, and where its values go.
    """
    given, target = arguments(name, args, kwargs)
    if not isinstance(given, Tensor) or not isinstance(target, Tensor) or not given.is_floating_point():
        return None
    if not given.requires_grad and target.requires_grad and target.is_floating_point():
        given, target = target, given
    is_class = not target.is_floating_point()
    maker = maker_of(given)
    before = _past_views(maker.next_functions[0][0]) if maker is not None and maker.next_functions else None
    made = _name_of(maker), _name_of(before)
    call = LossCall(name, place, *made, tuple(given.shape), tuple(target.shape), is_class, _axis_of(maker))
    x, y = given.detach(), target.detach()
    if not x.numel() or not y.numel():
        return call
    call.mixes_axes = name in CLASSES and _mixes_axes(given)
    call.are_cosines = name == "cross_entropy" and _are_cosines(given)
    numbers = _of_input(call, x, maker)
    if not is_class or name in SIGNS:
        numbers["target_low"], numbers["target_high"] = torch.aminmax(y)
        if x.dim() == y.dim() > 1 and x.shape[1] > y.shape[1] == 1:
            numbers["target_is_whole"] = (y == y.round()).all()
    if name == "poisson_nll_loss":
        call.takes_logarithm = bool(args[2] if len(args) > 2 else kwargs.get("log_input", True))
    if name == "difference" and x.shape == y.shape:
        numbers["mean_square"] = numbers["value"] = (x - y).to(wide(x.device)).square().mean()
    found = torch.stack([value.to(wide(value.device)) for value in numbers.values()])
    keep(found, lambda host: call.values.update(zip(numbers, host.tolist(), strict=True)))
    _keep_targets(call, x, y, keep)
    return call


def note_value(call: LossCall, args: Any, kwargs: Any, result: Tensor, keep: Keep) -> None:
    """Keep what a loss function has put out, as the mean over what it was handed."""
    value = result.detach().to(wide(result.device)).mean()
    if kwargs.get("reduction") == "sum":
        given, target = arguments(call.kind, args, kwargs)
        value = value / (target if call.kind in CLASSES and call.target_is_class else given).numel()
    keep(value, partial(_put, call.values, "value"))


def _put(into: dict[str, float], key: str, host: Any) -> None:
    into[key] = float(host[0])


def _is_rescaled(maker: Any) -> bool:
    """Say whether an output is that of an activation with two flat ends, scaled or shifted since."""
    node = maker
    for _ in range(_STEPS_BACK):
        makers = [each for each, _ in getattr(node, "next_functions", ()) if each is not None]
        if _name_of(node).lower().rstrip("_") not in _AFFINE or len(makers) != 1:
            return False
        node = _past_views(makers[0])
        if _name_of(node).lower().rstrip("_") in _TWO_ENDS:
            return True
    return False


def _of_input(call: LossCall, x: Tensor, maker: Any) -> dict[str, Tensor]:
    """Return an input's range and what else is asked of it: size, how rows add up, which share is flat."""
    low, high = torch.aminmax(x)
    numbers = {"low": low, "high": high}
    if call.kind in DISTANCES | {"difference"}:
        numbers["rms"] = torch.linalg.vector_norm(x, dtype=wide(x.device)) / math.sqrt(x.numel())
    # Where the ends lie is not known of one that was scaled: at the least and the largest value, if at all.
    is_flat = _near_its_ends if _is_rescaled(maker) else _FLAT.get(call.made_by.lower().rstrip("_"))
    if is_flat is not None:
        few = x.reshape(-1)[:: -(-x.numel() // _MOST_ENTRIES)].to(wide(x.device))
        numbers["flat"] = is_flat(few, low, high).to(few.dtype).mean()
    if call.kind in ("cross_entropy", "nll_loss", "ctc_loss") and x.dim() > 1:
        rows = x[:: -(-x.shape[0] // _MOST_ROWS)].to(wide(x.device))
        if call.kind == "cross_entropy":
            numbers["sum_off"] = (rows.sum(1) - 1).abs().max()
        else:
            numbers["lse_off"] = rows.logsumexp(1 if call.kind == "nll_loss" else -1).abs().max()
    return numbers


def _keep_targets(call: LossCall, x: Tensor, y: Tensor, keep: Keep) -> None:
    """Keep what the best constant prediction's loss is computed from."""
    if call.target_is_class and call.kind in CLASSES and x.dim() > 1 and x.shape[1] <= _MOST_CLASSES:
        classes = x.shape[1]
        # Before the first class and behind the last is room for what is none, as what is to be left out.
        counts = torch.zeros(classes + 2, dtype=wide(x.device), device=x.device)
        places = y.reshape(-1).long().clamp(-1, classes) + 1
        counts.scatter_add_(0, places, counts.new_ones(1).expand(len(places)))
        keep(counts[1:-1], lambda host: setattr(call, "classes", host))
    elif not call.target_is_class:
        rows = y.reshape(y.shape[0], -1) if y.dim() > 1 and y[0].numel() <= _MOST_COLUMNS else y.reshape(-1, 1)
        sizes = torch.linalg.vector_norm(rows, dim=0, dtype=wide(y.device))
        both = torch.cat([rows.sum(0, dtype=wide(y.device)), sizes.square()])
        keep(both, partial(_put_targets, call, rows.shape[1], float(rows.shape[0])))


def _put_targets(call: LossCall, size: int, count: float, host: Any) -> None:
    sums, squares = host[:size], host[size:]
    call.target_sums = sums, squares, count
    square, mean = float(squares.sum()) / (size * count), float(sums.sum()) / (size * count)
    call.values["target_rms"] = math.sqrt(square) if square >= 0 else math.nan
    call.values["target_std"] = math.sqrt(max(0.0, square - mean * mean)) if math.isfinite(square) else math.nan
