"""The usual losses, as `loss(model, batch)`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def classify(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of logits; the last of the batch is the class."""
    return F.cross_entropy(model(*batch[:-1]), batch[-1])


def regress(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(model(batch[0]), batch[1])


def foretell(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of each next token."""
    return F.cross_entropy(model(batch[0][:, :-1]).flatten(0, 1), batch[0][:, 1:].flatten())


def rebuild(model: nn.Module, batch: Any) -> Tensor:
    """Squared error of an autoencoder, and its code's divergence if it has one."""
    out, divergence = model(batch[0])
    return F.mse_loss(out, batch[0]) + 0.01 * divergence


def segment(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross entropy of logits per pixel."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


def of_hugging_face(model: nn.Module, batch: Any) -> Tensor:
    """The loss that a model of `transformers` computes itself."""
    return model(**dict(zip(("input_ids", "labels"), batch * 2, strict=False))).loss


def error_rate(batch: Any) -> Any:
    """Return a score: the share of this batch that the network's largest output gets wrong."""

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(*batch[:-1]).argmax(1) != batch[-1]).float().mean())

    return score
