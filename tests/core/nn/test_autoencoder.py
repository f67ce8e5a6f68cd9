"""The denoising autoencoder against one plain torch network per replica."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.config.network import InitialiserConfig
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.machines import DenoisingAutoencoder
from vgtemplate.nn.noise import set_step

SEEDS = [4, 9]


def build(corruption: float = 0.3) -> DenoisingAutoencoder:
    draws = build_draws(InitialiserConfig(name="glorot_normal"), "normal", SEEDS)
    return DenoisingAutoencoder(Linear(6, 4, draws).double(), SEEDS, 0, corruption)


def data(batch: int = 7) -> Tensor:
    return torch.rand(2, batch, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_loss_and_gradient_equal_a_plain_network_with_tied_weights() -> None:
    machine, v = build(), data()
    set_step(machine, 3)
    losses, reported = machine.compare(v)
    losses.sum().backward()
    assert torch.equal(losses.detach(), reported)
    masks = machine.noise.uniform(v) >= 0.3
    for r in range(2):
        weight = machine.weight[r].detach().clone().requires_grad_()
        c, b = (bias[r].detach().clone().requires_grad_() for bias in (machine.hidden_bias, machine.visible_bias))
        hidden = torch.sigmoid((v[r] * masks[r]) @ weight + c)
        loss = F.binary_cross_entropy(torch.sigmoid(hidden @ weight.T + b), v[r], reduction="sum") / 7
        loss.backward()
        torch.testing.assert_close(losses[r].detach(), loss.detach())
        torch.testing.assert_close(machine.weight.grad[r], weight.grad)
        torch.testing.assert_close(machine.hidden_bias.grad[r], c.grad)
        torch.testing.assert_close(machine.visible_bias.grad[r], b.grad)


def test_share_of_the_inputs_that_is_masked_is_the_corruption() -> None:
    machine = build(0.25)
    seen: list[Tensor] = []
    machine.hidden_logits = lambda v: seen.append(v) or v[..., :4]  # type: ignore[method-assign, func-returns-value]
    machine.compare(torch.ones(2, 5_000, 6, dtype=torch.float64))
    for replica in seen[0]:
        assert abs((replica == 0).double().mean() - 0.25) < 0.01


def test_without_corruption_it_is_an_autoencoder_and_every_step_is_the_same() -> None:
    machine, v = build(0.0), data()
    first = machine.compare(v)[0]
    set_step(machine, 9)
    torch.testing.assert_close(machine.compare(v)[0], first)
    logits = machine.visible_logits(machine.hidden_logits(v).sigmoid())
    expected = F.binary_cross_entropy_with_logits(logits, v, reduction="none").sum(2).mean(1)
    torch.testing.assert_close(first, expected)
