"""Batch and layer normalisation with the replica axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.nn.conv import fold, unfold

EPS = 1e-5
"""torch.nn's default."""
MOMENTUM = 0.1
"""Weight of the newest batch in the running statistics; torch.nn's default."""


class BatchNorm(nn.Module):
    """R independent batch normalisations as one of R*C channels (Ioffe & Szegedy 2015, algorithm 1).

    Training normalises with the batch's moments and updates the running statistics (unbiased variance, as
    torch.nn does); evaluation uses the running statistics as they are.

    Shapes: weight (gamma), bias (beta), running_mean, running_var (R, C); input (R, B, C) or (R, B, C, H, W).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_replicas: int, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_replicas, num_features))
        self.bias = nn.Parameter(torch.zeros(num_replicas, num_features))
        self.register_buffer("running_mean", torch.zeros(num_replicas, num_features))
        self.register_buffer("running_var", torch.ones(num_replicas, num_features))

    def forward(self, x: Tensor) -> Tensor:
        folded = fold(x) if x.dim() == 5 else x.transpose(0, 1).flatten(1)
        running = self.running_mean.flatten(), self.running_var.flatten()
        scale_and_shift = self.weight.flatten(), self.bias.flatten()
        return unfold(F.batch_norm(folded, *running, *scale_and_shift, self.training, MOMENTUM, EPS), x.shape[0])


class LayerNorm(nn.Module):
    """Normalises every example over its features, with learned scale and shift per channel (Ba et al. 2016).

    On images this is group normalisation with one group. Shapes as in BatchNorm; no running statistics.
    """

    def __init__(self, num_replicas: int, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_replicas, num_features))
        self.bias = nn.Parameter(torch.zeros(num_replicas, num_features))

    def forward(self, x: Tensor) -> Tensor:
        num_replicas, _, channels = x.shape[:3]
        shape = (num_replicas, 1, channels) + (1,) * (x.dim() - 3)
        return F.layer_norm(x, x.shape[2:], eps=EPS) * self.weight.view(shape) + self.bias.view(shape)


def build_norm(name: str, num_replicas: int, num_features: int) -> BatchNorm | LayerNorm | None:
    """Return the normalisation of the configuration's name: none, batch or layer."""
    kinds: dict[str, type[BatchNorm] | type[LayerNorm]] = {"batch": BatchNorm, "layer": LayerNorm}
    return None if name == "none" else kinds[name](num_replicas, num_features)
