"""The fully connected layer with the replica axis: R independent nn.Linear in one batched matrix product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vgtemplate.nn.initialisers import Draws, Fans


class Linear(nn.Module):
    """z[r] = x[r] W[r] + b[r].

    Shapes: weight (R, I, O), bias (R, O); input (R, B, I), output (R, B, O). The weight is drawn first, then the bias.
    """

    def __init__(self, in_features: int, out_features: int, draws: Draws) -> None:
        super().__init__()
        fans = Fans(in_features, out_features)
        self.weight = draws.draw_weight((in_features, out_features), fans)
        self.bias = draws.draw_bias(out_features, fans)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias[:, None, :], x, self.weight)

    def extra_repr(self) -> str:
        return "{} replicas, in_features={}, out_features={}".format(*self.weight.shape)
