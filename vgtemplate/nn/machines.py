"""The machines that pretrain one layer, with the replica axis: Boltzmann machine and denoising autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.nn.linear import Linear
from vgtemplate.nn.noise import Noise


class Machine(nn.Module):
    """A layer that starts as a copy of a Linear with biases, and can be run back to its input.

    Shapes: weight (R, V, H), hidden_bias (R, H), visible_bias (R, V), which starts at 0; images (R, B, V) in [0, 1].
    No other layer of the network may have the noise of number `layer`.
    """

    def __init__(self, linear: Linear, seeds: Sequence[int], layer: int) -> None:
        super().__init__()
        assert linear.bias is not None
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.hidden_bias = nn.Parameter(linear.bias.detach().clone())
        self.visible_bias = nn.Parameter(self.weight.new_zeros(self.weight.shape[:2]))
        self.noise = Noise(seeds, layer)

    def hidden_logits(self, v: Tensor) -> Tensor:
        """Return the log-odds of the hidden units, (R, B, H)."""
        return torch.baddbmm(self.hidden_bias[:, None], v, self.weight)

    def visible_logits(self, h: Tensor) -> Tensor:
        """Return the log-odds of the visible units, (R, B, V)."""
        return torch.baddbmm(self.visible_bias[:, None], h, self.weight.transpose(1, 2))


def _cross_entropy(logits: Tensor, v: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, v, reduction="none").sum(dim=2).mean(dim=1)


class RBM(Machine):
    """R independent Bernoulli-Bernoulli restricted Boltzmann machines, trained by contrastive divergence."""

    def free_energy(self, v: Tensor, hidden_logits: Tensor | None = None) -> Tensor:
        """Return F(v) = -v.b - sum_j log(1 + exp(c_j + v.W_j)), (R, B) (Hinton 2010, eq. 25).

        The exponents are `hidden_logits` where they are known already.
        """
        exponents = self.hidden_logits(v) if hidden_logits is None else hidden_logits
        return -(v @ self.visible_bias[:, :, None]).squeeze(2) - F.softplus(exponents).sum(dim=2)

    def compare(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss whose gradient is the CD-1 update, and the reconstruction's cross-entropy, both (R,).

        The loss is mean F(v) - mean F(v'), v' being the reconstruction after one step of Gibbs sampling, held fixed:
        its gradient in W is <v h>_model - <v h>_data (Hinton 2002, eq. 5). The hidden states that drive the
        reconstruction are sampled, visible and last hidden ones are probabilities (Hinton 2010, section 3). The
        cross-entropy is in nats per image, without a gradient.
        """
        hidden_logits = self.hidden_logits(v)
        with torch.no_grad():
            probabilities = hidden_logits.sigmoid()
            hidden = (self.noise.uniform(probabilities) < probabilities).to(v.dtype)
            logits = self.visible_logits(hidden)
            reconstruction = _cross_entropy(logits, v)
        return (self.free_energy(v, hidden_logits) - self.free_energy(logits.sigmoid())).mean(dim=1), reconstruction


class DenoisingAutoencoder(Machine):
    """R independent autoencoders that give back what masking has taken away (Vincent et al. 2008).

    Encoder and decoder are sigmoid layers with one weight matrix. `corruption` is the share of the inputs set to 0.
    """

    def __init__(self, linear: Linear, seeds: Sequence[int], layer: int, corruption: float) -> None:
        super().__init__(linear, seeds, layer)
        self.corruption = corruption

    def compare(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of the corrupted input's reconstruction, (R,), in nats per image, and it detached.

        Every input counts, those that were not corrupted too.
        """
        kept = (self.noise.uniform(v) >= self.corruption).to(v.dtype)
        losses = _cross_entropy(self.visible_logits(self.hidden_logits(v * kept).sigmoid()), v)
        return losses, losses.detach()
