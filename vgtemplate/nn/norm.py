"""Batch and layer normalisation with the replica axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.nn.conv import fold, unfold
from vgtemplate.nn.noise import Noise

EPS = 1e-5
"""torch.nn's default."""
MOMENTUM = 0.1
"""Weight of the newest batch in the running statistics; torch.nn's default."""


def _scale_and_shift(affine: bool, num_replicas: int, num_features: int) -> tuple[nn.Parameter | None, ...]:
    """Return gamma and beta, both (R, C), or None for each."""
    size = num_replicas, num_features
    return (nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))) if affine else (None, None)


class BatchNorm(nn.Module):
    """R independent batch normalisations as one of R*C channels (Ioffe & Szegedy 2015, algorithm 1).

    Training normalises with the batch's moments and updates the running statistics (unbiased variance, as
    torch.nn does); evaluation uses the running statistics as they are.

    Shapes: weight (gamma), bias (beta), running_mean, running_var (R, C), the first two None unless `affine`; input
    (R, B, C) or (R, B, C, H, W).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_replicas: int, num_features: int, affine: bool = True) -> None:
        super().__init__()
        self.weight, self.bias = _scale_and_shift(affine, num_replicas, num_features)
        self.register_buffer("running_mean", torch.zeros(num_replicas, num_features))
        self.register_buffer("running_var", torch.ones(num_replicas, num_features))

    def forward(self, x: Tensor) -> Tensor:
        folded = fold(x) if x.dim() == 5 else x.transpose(0, 1).flatten(1)
        running = self.running_mean.flatten(), self.running_var.flatten()
        scale, shift = (None if each is None else each.flatten() for each in (self.weight, self.bias))
        return unfold(F.batch_norm(folded, *running, scale, shift, self.training, MOMENTUM, EPS), x.shape[0])


class LayerNorm(nn.Module):
    """Normalises every example over its features, with learned scale and shift per channel (Ba et al. 2016).

    On images this is group normalisation with one group. Shapes as in BatchNorm; no running statistics.
    """

    def __init__(self, num_replicas: int, num_features: int, affine: bool = True) -> None:
        super().__init__()
        self.weight, self.bias = _scale_and_shift(affine, num_replicas, num_features)

    def forward(self, x: Tensor) -> Tensor:
        normalised = F.layer_norm(x, x.shape[2:], eps=EPS)
        if self.weight is None or self.bias is None:
            return normalised
        num_replicas, _, channels = x.shape[:3]
        shape = (num_replicas, 1, channels) + (1,) * (x.dim() - 3)
        return normalised * self.weight.view(shape) + self.bias.view(shape)


class UnitNoise(nn.Module):
    """Scales and shifts every unit at random in training: "noisy" BatchNorm (Santurkar et al. 2018, appendix A).

    At each step each unit j (channel) draws a shift mu_j ~ U(-SHIFT, SHIFT) and a scale s_j ~ U(1, SCALE), and each of
    its values x_ij one more of each around them: y_ij = N(s_j, JITTER^2) x_ij + U(mu_j - JITTER, mu_j + JITTER). So the
    noise has neither mean 0 nor deviation 1, and its distribution is another one at the next step. Evaluation takes
    the mean of all draws, y = (1 + SCALE) / 2 x.

    Shape: (R, B, C, ...) to the same.
    """

    SHIFT, SCALE, JITTER = 0.5, 1.25, 0.1
    """n_mu, n_sigma and r_mu = r_sigma, as we know them from the paper, whose text was not at hand."""

    def __init__(self, seeds: Sequence[int], layer: int) -> None:
        super().__init__()
        # A second counter, so that these are not the numbers of the layer's activation or dropout.
        self.of_units, self.scales, self.shifts = (Noise(seeds, layer, part) for part in (1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x * ((1 + self.SCALE) / 2)
        per_unit = self.of_units.uniform(x.new_empty(x.shape[0], 2, x.shape[2])).to(x.dtype)
        shape = (x.shape[0], 1, x.shape[2]) + (1,) * (x.dim() - 3)
        shift, scale = (per_unit[:, part].view(shape) for part in (0, 1))
        shift = self.SHIFT * (2 * shift - 1) + self.JITTER * (2 * self.shifts.uniform(x).to(x.dtype) - 1)
        scale = 1 + (self.SCALE - 1) * scale + self.JITTER * self.scales.normal(x)
        return scale * x + shift


def build_norm(name: str, num_replicas: int, num_features: int, affine: bool = True) -> BatchNorm | LayerNorm | None:
    """Return the normalisation of the configuration's name: none, batch or layer."""
    kinds: dict[str, type[BatchNorm] | type[LayerNorm]] = {"batch": BatchNorm, "layer": LayerNorm}
    return None if name == "none" else kinds[name](num_replicas, num_features, affine)
