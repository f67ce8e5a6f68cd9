"""The denoising autoencoder with the replica axis: one hidden layer, tied weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.nn.linear import Linear
from vgtemplate.nn.noise import Noise


class DenoisingAutoencoder(nn.Module):
    """R independent autoencoders that give back what masking has taken away (Vincent et al. 2008).

    Encoder and decoder are sigmoid layers with one weight matrix. Shapes: weight (R, V, H), hidden_bias (R, H),
    visible_bias (R, V), which starts at 0; images (R, B, V) in [0, 1].

    Args:
        linear: the layer whose weights and biases (not None) it starts from; they are copied.
        seeds: one per replica.
        layer: the number of its noise, which no other layer of the network may have.
        corruption: share of the inputs that is set to 0.
    """

    def __init__(self, linear: Linear, seeds: Sequence[int], layer: int, corruption: float) -> None:
        super().__init__()
        assert linear.bias is not None
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.hidden_bias = nn.Parameter(linear.bias.detach().clone())
        self.visible_bias = nn.Parameter(self.weight.new_zeros(self.weight.shape[:2]))
        self.noise = Noise(seeds, layer)
        self.corruption = corruption

    def visible_logits(self, v: Tensor) -> Tensor:
        """Return the log-odds of the reconstruction of `v` as it is, (R, B, V)."""
        hidden = torch.baddbmm(self.hidden_bias[:, None], v, self.weight).sigmoid()
        return torch.baddbmm(self.visible_bias[:, None], hidden, self.weight.transpose(1, 2))

    def compare(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of the corrupted input's reconstruction, (R,), in nats per image, and it detached.

        Every input counts, those that were not corrupted too.
        """
        kept = (self.noise.uniform(v) >= self.corruption).to(v.dtype)
        logits = self.visible_logits(v * kept)
        losses = F.binary_cross_entropy_with_logits(logits, v, reduction="none").sum(dim=2).mean(dim=1)
        return losses, losses.detach()
