"""What the doctor got wrong at scripts of others, a small network each."""

from __future__ import annotations

import torch
from torch import nn

from vgtemplate import diagnose


def squared(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def test_one_weight_at_its_minimum_does_not_oscillate() -> None:
    """Ordered batches pull it to and fro; PyTorch-Mini-Tutorials, 1_linear_regression.py."""
    torch.manual_seed(42)
    x = torch.linspace(-1, 1, 100)[:, None]
    y = 2 * x + 0.33 * torch.randn_like(x)
    batches = [*zip(x.split(10), y.split(10), strict=True)] * 20
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    assert diagnose(model, batches, squared, optimizer, 200).codes == []


def test_one_weight_that_jumps_across_its_valley_is_told() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1)
    model = nn.Linear(1, 1, bias=False)
    curvature = float(2 * (x**2).mean())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.999 / curvature)
    found = diagnose(model, [(x, 3 * x)] * 60, squared, optimizer, 60).codes
    assert {*found} & {"oscillation", "step-too-large"}
