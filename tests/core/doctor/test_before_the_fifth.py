"""What the doctor still missed of the fourth zoo, mended before it saw the fifth; each on its own network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.doctor.test_diagnose import ill
from vgtemplate import diagnose


def codes(model: nn.Module, loss: Any, batches: Any, optimizer: Any, steps: int = 40) -> list[str]:
    return diagnose(model, batches, loss, optimizer, steps).codes


class Tuned(nn.Module):
    """A normalisation that is frozen between layers that are trained."""

    def __init__(self, holds: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(16, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4))
        self.holds = holds
        self.body[1].requires_grad_(False)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        if self.holds:
            self.body[1].eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x)
        return result


@pytest.mark.parametrize("holds", [True, False])
def test_frozen_normalisation_may_stand_beside_layers_that_are_trained(holds: bool) -> None:
    model = Tuned(holds)
    optimizer = ill.adam(model, 3e-3)
    assert codes(model, ill.entropy, ill.classes(), optimizer) == ["frozen-buffers-move"] * (not holds)


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_targets_may_be_too_small_as_well(scale: float) -> None:
    torch.manual_seed(0)
    model = ill.stack(24, 2, nn.Tanh, outputs=1)
    found = codes(model, ill.squared, ill.values(scale=scale), ill.adam(model, 3e-3))
    assert found == ["unscaled-targets"] * (scale < 1)


class Gains(nn.Module):
    """Nothing is trained but a gain per input."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gain = nn.Parameter(torch.ones(16, dtype=dtype))
        self.register_buffer("readout", torch.randn(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (self.gain.float() * x) @ self.readout
        return result


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_gains_in_half_precision_do_not_move_by_small_steps(dtype: torch.dtype) -> None:
    model = Gains(dtype)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    found = codes(model, ill.entropy, ill.classes(), optimizer)
    assert ("precision-underflow" in found) == (dtype == torch.bfloat16)


class Marks(nn.Module):
    """Marks from 0 to 10, by ten times a sigmoid."""

    def __init__(self, size: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.out = nn.Sequential(nn.Linear(16, 24), nn.ReLU()), nn.Linear(24, 1)
        nn.init.normal_(self.out.weight, std=0.1)
        nn.init.constant_(self.out.bias, size)

    def forward(self, x: Tensor) -> Tensor:
        return 10 * torch.sigmoid(self.out(self.body(x)))


@pytest.mark.parametrize("size", [-200.0, 0.0])
def test_output_that_is_flat_behind_a_scale_stands_still(size: float) -> None:
    model = Marks(size)
    batches = [(x, 5 + 2 * y) for x, y in ill.values()]
    found = codes(model, ill.squared, batches, ill.adam(model, 3e-3))
    assert ("saturated-output" in found) == (size < 0)


@pytest.mark.parametrize("step", [2, 3, 7, 26])
def test_gradient_that_is_no_number_is_found_in_whatever_step_it_comes(step: int) -> None:
    """Also in one that is looked at briefly; and large steps under which the loss falls are no cause of it."""
    torch.manual_seed(0)
    model = ill.stack(24, 1, nn.Tanh)
    batches = ill.classes()
    batches = [batches[index % len(batches)] for index in range(40)]
    batches[step] = torch.zeros_like(batches[0][0]), batches[step][1]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch[0])
        return F.cross_entropy(out, batch[1]) + 1e-3 * (batch[0].norm(dim=1) * out[:, 0]).square().sqrt().mean()

    report = diagnose(model, batches, loss, ill.adam(model, 0.05), 40)
    assert report.codes == ["nan-backward"]
    assert report.findings[0].since_step == step


def test_loss_that_climbs_by_small_steps_is_not_well() -> None:
    """A momentum above one: every step is small, and each is larger than the one before."""
    torch.manual_seed(0)
    model = ill.stack(24, 2, nn.ReLU)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=1.06)
    assert codes(model, ill.entropy, ill.classes(), optimizer, 100) == ["step-too-large"]


def test_gradient_that_float16_rounds_to_zero_is_not_cut() -> None:
    torch.manual_seed(0)
    model = ill.stack(24, 2, nn.ReLU)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.float16):
            out = model(batch[0])
        return 1e-7 * F.cross_entropy(out.float(), batch[1])

    found = codes(model, loss, ill.classes(), torch.optim.SGD(model.parameters(), 0.1))
    assert "precision-underflow" in found
    assert "disconnected-parameters" not in found
