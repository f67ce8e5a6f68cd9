"""A recurrence in a loop of the user's own, without any layer in it: it shows at the places of the sequence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate import diagnose

LENGTH, WIDTH = 24, 16


class Scan(nn.Module):
    """h = decay * h + u, for each place; the last h is read."""

    def __init__(self, decay: float, reads: str = "last") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inp, self.out = nn.Linear(2, WIDTH), nn.Linear(WIDTH, 1)
        self.decay, self.reads = decay, reads

    def forward(self, x: Tensor) -> Tensor:
        u = self.inp(x)
        if self.reads == "recent":
            return self.out(torch.tanh(u[:, -3:]).mean(1))
        h = torch.zeros(len(x), WIDTH)
        for place in range(x.shape[1]):
            h = self.decay * h + torch.tanh(u[:, place])
        return self.out(h)


def batches(asks_for_first: bool) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 64, LENGTH, 2, generator=generator)
    place = 0 if asks_for_first else -1
    return [(each, 2 * each[:, place, :1]) for each in x]


def codes(decay: float, asks_for_first: bool, reads: str = "last") -> list[str]:
    model = Scan(decay, reads)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    loss = lambda m, b: F.mse_loss(m(b[0]), b[1])  # noqa: E731 - as a user writes it
    return diagnose(model, batches(asks_for_first), loss, optimizer, steps=40).codes


@pytest.mark.parametrize(("decay", "code"), [(0.3, "vanishing-time"), (1.5, "exploding-time")])
def test_what_fades_or_swells_over_a_scan_is_seen(decay: float, code: str) -> None:
    assert code in codes(decay, asks_for_first=True)


@pytest.mark.parametrize(
    ("decay", "asks_for_first", "reads"), [(0.3, False, "last"), (1.0, True, "last"), (1.0, True, "recent")]
)
def test_memory_that_is_not_needed_or_does_not_fade_is_no_fault(decay: float, asks_for_first: bool, reads: str) -> None:
    """Nor do places that nobody reads fade: what comes back to them is exactly zero."""
    assert not {"vanishing-time", "exploding-time"} & set(codes(decay, asks_for_first, reads))


class Swelling(Scan):
    """The first place alone is multiplied up before the loop: each place gets the same gradient, and it is huge."""

    def forward(self, x: Tensor) -> Tensor:
        u = self.inp(x)
        h = torch.ones(len(x), WIDTH)
        for place in range(x.shape[1]):
            h = 2.5 * h + 0 * h.detach() * u[:, place]
        return self.out(h + u.sum(1))


def test_state_that_swells_between_two_layers_is_seen_by_its_size() -> None:
    model = Swelling(1.0)
    optimizer = torch.optim.SGD(model.parameters(), 1e-22)
    loss = lambda m, b: F.mse_loss(m(b[0]), b[1])  # noqa: E731 - as a user writes it
    report = diagnose(model, batches(True), loss, optimizer, steps=20)
    found = [each for each in report.findings if each.code == "exploding-time"]
    assert [each.where for each in found] == [("out",)]
