"""What a loss function is handed: shapes, ranges, what made it; facts only, no judgement."""

from __future__ import annotations

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
SIGNS = {"soft_margin_loss", "hinge_embedding_loss"}
LOSSES = CLASSES | BINARY | DISTANCES | SIGNS | {"kl_div", "poisson_nll_loss", "ctc_loss"}
_VIEWS = ("View", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Permute", "ToCopy", "Clone", "Select", "TBackward")
_JOINTS = ("CatBackward", "StackBackward")
_MOST_CLASSES = 50_000
_MOST_COLUMNS = 4096


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


def _axis_of(node: Any) -> int | None:
    axis = getattr(node, "_saved_dim", None)
    # A sum or mean has several. Autograd keeps a negative axis as an unsigned number.
    return int(axis) - (1 << 64 if axis >= 1 << 63 else 0) if isinstance(axis, int) else None


def arguments(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return a loss function's input and target."""
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
    x = x.to(wide(x.device))
    numbers = {"low": x.min(), "high": x.max(), "rms": x.square().mean().sqrt()}
    numbers |= _of_rows(name, x)
    if not is_class:
        y = y.to(wide(y.device))
        numbers |= {"target_low": y.min(), "target_high": y.max(), "target_rms": y.square().mean().sqrt()}
        numbers["target_std"] = y.std(unbiased=False)
    if name == "poisson_nll_loss":
        call.takes_logarithm = bool(args[2] if len(args) > 2 else kwargs.get("log_input", True))
    if name == "difference" and x.shape == y.shape:
        numbers["mean_square"] = numbers["value"] = (x - y).square().mean()
    for key, value in numbers.items():
        keep(value, partial(_put, call.values, key))
    _keep_targets(name, call, x, y, keep)
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


def _of_rows(name: str, x: Tensor) -> dict[str, Tensor]:
    """Return how a row of class scores adds up, and which share of an output is flat."""
    numbers = {"flat": (x * (1 - x) < 0.025).to(x.dtype).mean(), "flat_tanh": (1 - x * x < 0.1).to(x.dtype).mean()}
    numbers["at_ends"] = ((x == x.min()) | (x == x.max())).to(x.dtype).mean()
    if name == "ctc_loss":
        numbers["lse_off"] = x.logsumexp(-1).abs().max()
    elif name in CLASSES and x.dim() > 1:
        numbers["sum_off"] = (x.sum(1) - 1).abs().max()
        numbers["lse_off"] = x.logsumexp(1).abs().max()
    elif name == "kl_div" and x.dim() > 1:
        numbers["lse_off"] = x.logsumexp(-1).abs().max()
    return numbers


def _keep_targets(name: str, call: LossCall, x: Tensor, y: Tensor, keep: Keep) -> None:
    """Keep what the best constant prediction's loss is computed from."""
    if call.target_is_class and name in CLASSES and x.dim() > 1 and x.shape[1] <= _MOST_CLASSES:
        flat = y.reshape(-1).long()
        valid = (flat >= 0) & (flat < x.shape[1])
        counts = torch.zeros(x.shape[1], dtype=x.dtype, device=x.device)
        counts.scatter_add_(0, flat.clamp(0, x.shape[1] - 1), valid.to(x.dtype))
        keep(counts, lambda host: setattr(call, "classes", host))
    elif not call.target_is_class:
        rows = y.reshape(y.shape[0], -1) if y.dim() > 1 and y[0].numel() <= _MOST_COLUMNS else y.reshape(-1, 1)
        both = torch.cat([rows.sum(0), rows.square().sum(0)])
        size, count = rows.shape[1], float(rows.shape[0])
        keep(both, lambda host: setattr(call, "target_sums", (host[:size], host[size:], count)))
