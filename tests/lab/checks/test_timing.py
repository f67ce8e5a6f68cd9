"""The timing check: its shape and its sense of more and less; never how long anything takes."""

from __future__ import annotations

import pytest
import torch

from vgtemplate.lab.checks import timing


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_ELEMENTS", 1000)


def test_there_is_a_positive_ratio_per_block(small: None) -> None:
    ratios = timing.elu_costs_more()["time_ratio"]
    assert len(ratios) == 10
    assert all(ratio > 0 for ratio in ratios)


def test_ratio_is_elu_over_leaky_relu(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"elu": 3.0, "leaky_relu": 2.0}
    monkeypatch.setattr(timing, "_time", lambda name, z, upstream: seconds[name])
    assert timing.elu_costs_more()["time_ratio"] == [1.5] * 10


def test_forward_and_backward_are_both_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(10, requires_grad=True)
    called: list[str] = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            called.append("forward")
            return x * 2

        @staticmethod
        def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
            called.append("backward")
            return gradient * 2

    monkeypatch.setitem(timing.FUNCTIONS, "elu", Watched.apply)
    assert timing._time("elu", z, torch.ones(10)) > 0
    assert called == ["forward", "backward"]
