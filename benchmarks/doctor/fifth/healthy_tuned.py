"""Healthy: what was trained before is tuned: heads, adapters, norms, or all of it, gently."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.fifth.healthy_lessons import resnet
from benchmarks.doctor.fifth.healthy_parts import by, ce, dense, down, named
from benchmarks.doctor.fourth.data import grainy, scenes


def trained(net: Any, batches: Any, steps: int = 100, rate: float = 2e-3) -> Any:
    """Return a network after some training."""
    optimizer = by("adam", net.parameters(), rate)
    for _, batch in zip(range(steps), batches, strict=False):
        down(optimizer, ce(net, batch))
    optimizer.zero_grad(set_to_none=True)
    return net


def swapped(seed: int) -> Batches:
    """Return scenes whose classes are named otherwise, and whose colours are turned."""
    x, y = scenes(seed + 1).tensors
    return Batches((x.flip(1), (y + 1) % 3), 24, seed)


class Probe(nn.Module):
    """A body that is asked under no_grad, its norms at rest, and a linear head."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(*body[:-1]), nn.Linear(32, 3)

    def train(self, mode: bool = True) -> Probe:
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            h = self.body(x)
        return self.head(h)


def probed(seed: int) -> Training:
    """A linear probe: the head alone is given to the optimiser."""
    model = Probe(trained(resnet(), scenes(seed)))
    return Training(model, swapped(seed), by("sgd", model.head.parameters(), 0.02), ce)


class LoRA(nn.Module):
    """A frozen layer beside which a product of two thin ones learns; the second is zero at first."""

    def __init__(self, layer: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = layer.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, layer.in_features) / rank)
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: Tensor) -> Any:
        return self.base(x) + F.dropout(x, 0.05, self.training) @ self.a.T @ self.b.T


def low_rank(seed: int) -> Training:
    """Digits in another order of classes, by low ranks in every layer."""
    base = trained(dense(64, 10, 64), digits(seed))
    model = nn.Sequential(*[LoRA(each) if isinstance(each, nn.Linear) else each for each in base])
    x, y = digits(seed).tensors
    return Training(model, Batches((x, (y + 3) % 10), 64, seed), by("adamw", model.parameters(), 5e-3), ce)


def by_layers(seed: int) -> Training:
    """All of it, the deeper the slower: 1e-6 for the stem, 3e-3 for a new head."""
    model = trained(resnet(), scenes(seed))
    model[-1] = nn.Linear(32, 3)
    groups = [{"params": list(part.parameters()), "lr": 3e-3 * 0.3**n} for n, part in enumerate(reversed(list(model)))]
    groups = [group for group in groups if group["params"]]
    return Training(model, swapped(seed), torch.optim.AdamW(groups, lr=1e-3), ce)


def gently(seed: int) -> Training:
    """All of it again on what it knows nearly, at 1e-5: the loss is low and hardly falls."""
    model = trained(resnet(), scenes(seed), 120)
    return Training(model, scenes(seed), by("adamw", model.parameters(), 1e-5), ce)


def tented(seed: int) -> Training:
    """TENT: scales and shifts of norms alone learn, from the entropy of what it says of strange pictures."""
    model = trained(resnet(), scenes(seed), 120)
    model.requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.requires_grad_(True)
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    x, y = scenes(seed).tensors
    strange = Batches((0.6 * x + 0.3 + 0.05 * torch.randn(x.shape), y), 24, seed)

    def entropy(net: nn.Module, batch: Any) -> Tensor:
        logits: Tensor = net(batch[0])
        return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()

    return Training(model, strange, by("adam", model.parameters(), 5e-3), entropy)


class Control(nn.Module):
    """ControlNet in small: a frozen painter, and a copy beside it that speaks through a convolution of zeros."""

    def __init__(self, painter: Any) -> None:
        super().__init__()
        self.first, self.last = painter[0].requires_grad_(False), painter[2].requires_grad_(False)
        self.hint, self.copy = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.zero = nn.Conv2d(16, 16, 1)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        h = F.silu(self.first(x))
        return self.last(h + self.zero(F.silu(self.copy(F.silu(self.hint(x))))))


def controlled(seed: int) -> Training:
    """The painter was to give back what it saw; now noise is to go."""
    painter = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 3, 3, padding=1))
    optimizer, clean = by("adam", painter.parameters(), 5e-3), grainy(seed)
    for _, batch in zip(range(60), clean, strict=False):
        down(optimizer, F.mse_loss(painter(batch[1]), batch[1]))
    model = Control(painter)
    return Training(model, clean, by("adamw", model.parameters(), 3e-3), lambda m, b: F.mse_loss(m(b[0]), b[1]))


def biases(seed: int) -> Training:
    """BitFit: biases and a new head learn, all other weights rest."""
    model = trained(dense(64, 10, 96, nn.GELU), digits(seed))
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith("bias"))
    model[-1] = nn.Linear(96, 10)
    x, y = digits(seed).tensors
    return Training(model, Batches((x.flip(1), y), 64, seed), by("adam", model.parameters(), 3e-3), ce)


def kept_near(seed: int, strength: float = 100.0) -> Training:
    """Elastic weights: the old task's most needed weights are held by springs while a new one is learned."""
    model, old = trained(dense(64, 10, 64), digits(seed)), digits(seed)
    batch = next(iter(old))
    ce(model, batch).backward()
    need = [weight.grad.square() for weight in model.parameters()]
    place = [weight.detach().clone() for weight in model.parameters()]
    model.zero_grad(set_to_none=True)

    def loss(net: nn.Module, batch: Any) -> Any:
        springs = sum((f * (w - p).square()).sum() for f, w, p in zip(need, net.parameters(), place, strict=True))
        return ce(net, batch) + strength * springs

    x, y = digits(seed).tensors
    turned = Batches((x.view(-1, 8, 8).transpose(1, 2).reshape(-1, 64), y), 64, seed)
    return Training(model, turned, by("sgd", model.parameters(), 0.02), loss)


CASES: list[Case] = [
    named("linear-probe-no-grad", "fine-tuning", probed, 80),
    named("low-ranks-new-order", "fine-tuning", low_rank, 100),
    named("rates-by-layer", "fine-tuning", by_layers, 80),
    named("gently-at-1e-5", "fine-tuning", gently, 50, falls=False),
    named("tent-norms-alone", "fine-tuning", tented, 60, falls=False),
    named("control-through-zeros", "fine-tuning", controlled, 80),
    named("biases-alone", "fine-tuning", biases, 100),
    named("elastic-weights", "fine-tuning", partial(kept_near, strength=50.0), 60),
]
