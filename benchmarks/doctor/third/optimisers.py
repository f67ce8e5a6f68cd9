"""Optimisers of one's own, as people bring them along."""

from __future__ import annotations

from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """Signs of a moving mean: every number moves by as much at every step."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    p.add_(mean.lerp(p.grad, 0.1).sign(), alpha=-group["lr"])
                    mean.lerp_(p.grad, 0.02)


class Muon(torch.optim.Optimizer):
    """Matrices step by their momentum made orthogonal, vectors by plain descent."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p)).mul_(0.9).add_(p.grad)
                if p.dim() == 2:
                    u, _, v = torch.linalg.svd(mean, full_matrices=False)
                    p.add_(u @ v, alpha=-group["lr"])
                else:
                    p.add_(mean, alpha=-group["lr"])
