"""Faults that the doctor once missed, and healthy trainings that it once called ill."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate import diagnose, watch
from vgtemplate.doctor.report import Report

Batch = tuple[Tensor, Tensor]


def batches(number: int = 8) -> list[Batch]:
    """Return inputs, and classes that can be told from them."""
    g = torch.Generator().manual_seed(1)
    rule = torch.randn(16, 4, generator=g)
    return [(x := torch.randn(64, 16, generator=g), (x @ rule).argmax(1)) for _ in range(number)]


def net(act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 4))


def entropy(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def adam(model: nn.Module, rate: float = 3e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), rate)


class Body(nn.Module):
    """A network whose body may run where no gradients are recorded."""

    def __init__(self, records: bool) -> None:
        super().__init__()
        self.body, self.head, self.records = nn.Sequential(nn.Linear(16, 32), nn.ReLU()), nn.Linear(32, 4), records

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.records):
            hidden = self.body(x)
        return self.head(hidden)


def without_gradients(is_ill: bool) -> Report:
    model = Body(records=not is_ill)
    return diagnose(model, batches(), entropy, adam(model), 40)


def of_a_copy(is_ill: bool) -> Report:
    model = net()
    return diagnose(model, batches(), entropy, adam(copy.deepcopy(model) if is_ill else model), 40)


def added_up(is_ill: bool) -> Report:
    model = net()
    optimizer, data = adam(model), batches()
    total: Any = 0
    with watch(model, optimizer) as report:
        for step in range(40):
            optimizer.zero_grad()
            loss = entropy(model, data[step % 8])
            loss.backward()
            optimizer.step()
            total += loss if is_ill else loss.item()
    return report


class Hidden(nn.Module):
    """A root of which `where` hides the branch that is not a number."""

    def __init__(self, is_ill: bool) -> None:
        super().__init__()
        self.first, self.last, self.is_ill = nn.Linear(16, 32), nn.Linear(32, 4), is_ill

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        argument = z if self.is_ill else z.clamp_min(1e-3)
        return self.last(torch.where(z > 1e-3, argument.sqrt(), torch.zeros_like(z)))


def hidden_branch(is_ill: bool) -> Report:
    model = Hidden(is_ill)
    return diagnose(model, batches(), entropy, adam(model), 20)


def in_half(is_ill: bool) -> Report:
    model = net().to(torch.bfloat16 if is_ill else torch.float32)
    data = [(x.to(next(model.parameters()).dtype), y) for x, y in batches()]
    # In single precision the same small steps add up.
    rate = 1e-5 if is_ill else 3e-3
    return diagnose(model, data, lambda m, b: F.cross_entropy(m(b[0]).float(), b[1]), adam(model, rate), 40)


class FromZero(nn.Module):
    """A network with a branch that begins at zero: relative to that any step is large."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.rest = nn.Linear(16, 16), net()
        nn.init.zeros_(self.branch.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rest(x + self.branch(x))
        return out


def hardly_moves(is_ill: bool) -> Report:
    model = FromZero()
    return diagnose(model, batches(), entropy, adam(model, 1e-9 if is_ill else 3e-3), 40)


def logits_into_nll(is_ill: bool) -> Report:
    model = net()

    def loss(m: nn.Module, batch: Any) -> Tensor:
        out = m(batch[0])
        return F.nll_loss(out if is_ill else out.log_softmax(1), batch[1])

    # Nothing bounds this loss below: it soon is no number any more.
    return diagnose(model, batches(), loss, torch.optim.SGD(model.parameters(), 0.5 if is_ill else 0.1), 60)


class Normed(nn.Module):
    """A frozen body with instance normalisation that keeps statistics."""

    def __init__(self, is_ill: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 8, 3), nn.InstanceNorm1d(8, affine=True, track_running_stats=True), nn.ReLU()
        ).requires_grad_(False)
        self.head, self.is_ill = nn.Linear(8 * 14, 4), is_ill

    def forward(self, x: Tensor) -> Tensor:
        self.body.train(self.is_ill)
        out: Tensor = self.head(self.body(x[:, None]).flatten(1))
        return out


def frozen_instance_norm(is_ill: bool) -> Report:
    model = Normed(is_ill)
    return diagnose(model, batches(), entropy, adam(model), 40)


FAULTS = {
    "disconnected-parameters": without_gradients,
    "not-in-optimizer": of_a_copy,
    "graph-grows": added_up,
    "nan-backward": hidden_branch,
    "precision-underflow": in_half,
    "step-too-small": hardly_moves,
    "loss-head-mismatch": logits_into_nll,
    "frozen-buffers-move": frozen_instance_norm,
}


@pytest.mark.parametrize("code", FAULTS)
def test_fault_is_seen_and_its_cure_is_healthy(code: str) -> None:
    torch.manual_seed(0)
    report = FAULTS[code](True)
    assert report.codes[0] == code, str(report)
    torch.manual_seed(0)
    healthy = FAULTS[code](False)
    assert healthy.is_healthy, str(healthy)


def test_last_bias_of_a_network_whose_derivative_is_fitted_is_not_cut() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def loss(m: nn.Module, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(m(x).sum(), x, create_graph=True)
        return F.mse_loss(slope, torch.stack([x[:, 1], -x[:, 0]], 1).detach())

    report = diagnose(model, [torch.randn(64, 2) for _ in range(8)], loss, adam(model), 40)
    assert report.is_healthy, str(report)


def test_loss_around_zero_does_not_diverge() -> None:
    torch.manual_seed(0)
    model = net()

    def reward(m: nn.Module, batch: Any) -> Tensor:
        chances = torch.distributions.Categorical(logits=m(batch[0]))
        chosen = chances.sample()
        gain = (chosen == batch[1]).float()
        return -(chances.log_prob(chosen) * (gain - gain.mean())).mean()

    report = diagnose(model, batches(), reward, adam(model, 1e-2), 60)
    assert "step-too-large" not in report.codes, str(report)


def test_all_of_a_step_is_looked_at_in_growing_gaps() -> None:
    torch.manual_seed(0)
    model = net()
    optimizer, data = adam(model), batches()
    with watch(model, optimizer) as report:
        for step in range(100):
            optimizer.zero_grad()
            entropy(model, data[step % 8]).backward()
            optimizer.step()
    assert report.steps == [0, 1, 2, 3, 4, 9, 19, 39, 79]
    assert report.is_healthy, str(report)
