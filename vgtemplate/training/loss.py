"""Each replica's own loss and accuracy: (R, B, K) logits and (R, B) labels to (R,)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def replica_losses(logits: Tensor, labels: Tensor, kind: str = "cross_entropy") -> Tensor:
    """Return each replica's mean loss over its batch, (R,), in nats.

    `cross_entropy` is softmax's; `binary_cross_entropy` takes sigmoid outputs against one-hot labels and sums over
    the classes (Nielsen, chapter 3, eq. 63).
    """
    num_replicas, batch, num_classes = logits.shape
    if kind == "cross_entropy":
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(num_replicas, batch).mean(dim=1)
    targets = F.one_hot(labels, num_classes).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=2).mean(dim=1)


def replica_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each replica's share of images classified correctly, (R,); non-finite logits count as wrong."""
    finite = logits.isfinite().all(dim=2)
    return ((logits.argmax(dim=2) == labels) & finite).float().mean(dim=1)
