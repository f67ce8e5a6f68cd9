"""Each replica's loss over its batch: of class numbers, of numbers, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from vgtemplate.config.errors import UserError
from vgtemplate.config.own import find, is_own, their_errors

Loss = Callable[[Any, Tensor], Tensor]
"""Outputs (R, B, ...) and targets (R, B, ...) to each replica's mean loss, (R,), with a graph."""


def classes_last(logits: Tensor, labels: Tensor) -> Tensor:
    """Return logits whose last axis is the classes: (R, B, ..., K); torch's (R, B, K, ...) is turned.

    Raises:
        UserError: neither fits the labels (R, B, ...).
    """
    if logits.shape[:-1] == labels.shape:
        return logits
    if logits.dim() == labels.dim() + 1 and logits.shape[:2] + logits.shape[3:] == labels.shape:
        return logits.movedim(2, -1)
    raise UserError(
        f"the network's outputs {_per_replica(logits)} are no logits of the class numbers {_per_replica(labels)}; "
        f"needed: {_per_replica(labels, 'classes')}"
    )


def _per_replica(tensor: Tensor, *more: str) -> str:
    sizes = [str(size) for size in (*tensor.shape[1:], *more)]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def replica_losses(logits: Tensor, labels: Tensor, kind: str = "cross_entropy") -> Tensor:
    """Return each replica's mean loss over its batch, (R,), in nats.

    `cross_entropy` is softmax's; labels of -100 do not count. `binary_cross_entropy` takes sigmoid outputs against
    one-hot labels, or against targets in [0, 1] of the outputs' shape, and sums over the classes (Nielsen, chapter 3,
    eq. 63).
    """
    if kind == "cross_entropy":
        logits = classes_last(logits, labels)
        try:
            losses = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none").view(labels.shape)
        except IndexError as error:  # on a processor; a GPU does not look
            raise UserError(
                f"training.loss: cross_entropy: {error} The network gives {logits.shape[-1]} outputs."
            ) from None
        if labels.dim() == 2:
            return losses.mean(dim=1)
        return losses.flatten(1).sum(dim=1) / (labels != -100).flatten(1).sum(dim=1)
    if labels.is_floating_point():
        logits, targets = alike(logits, labels)
    else:
        logits = classes_last(logits, labels)
        targets = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return losses.flatten(2).sum(dim=2).mean(dim=1) if losses.dim() > 2 else losses.mean(dim=1)


def alike(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in one shape and type: an axis of one output at the end is dropped where targets have none.

    Raises:
        UserError: their shapes differ.
    """
    if outputs.dim() == targets.dim() + 1 and outputs.shape[-1] == 1:
        outputs = outputs.squeeze(-1)
    if outputs.dim() + 1 == targets.dim() and targets.shape[-1] == 1:
        targets = targets.squeeze(-1)
    if outputs.shape != targets.shape:
        # torch would stretch one to the other, and take the mean over what belongs to nothing.
        raise UserError(f"the network's outputs {_per_replica(outputs)} and its targets {_per_replica(targets)} differ")
    return outputs, targets.to(outputs.dtype)


_REGRESSION: dict[str, Callable[..., Tensor]] = {
    "mean_squared_error": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
}


def _mean_of(function: Callable[..., Tensor]) -> Loss:
    """Return torch's loss of that name, the mean over all of a replica's numbers."""
    return lambda outputs, targets: function(*alike(outputs, targets), reduction="none").flatten(1).mean(dim=1)


def each_replica(name: str, where: str) -> Loss:
    """Return a function of one's own, (outputs (B, ...), targets (B, ...)) to a scalar, for every replica: (R,)."""
    function = find(where, name)

    def compute(outputs: Any, targets: Tensor) -> Tensor:
        values = []
        for replica, own_targets in enumerate(targets):
            with their_errors(f"{where} {name}"):
                value = torch.as_tensor(function(tree_map(lambda part, r=replica: part[r], outputs), own_targets))
            if value.numel() != 1:
                raise UserError(f"{where} {name}: gives {tuple(value.shape)}; it must give one number for a batch")
            values.append(value.reshape(()).to(targets.device))
        return torch.stack(values)

    return compute


def build_loss(name: str) -> Loss:
    """Return the loss of a configuration.

    Raises:
        UserError: a function of one's own cannot be found.
    """
    if is_own(name):
        return each_replica(name, "training.loss")
    if name in _REGRESSION:
        return _mean_of(_REGRESSION[name])
    return lambda outputs, targets: replica_losses(outputs, targets, name)
