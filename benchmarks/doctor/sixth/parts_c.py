"""What the sixth zoo's healthy trainings share: a way to keep a case, losses, tables, nets and optimisers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.fifth.healthy_parts import down as down
from benchmarks.doctor.fifth.healthy_parts import follow as follow
from benchmarks.doctor.fifth.ill_parts import ce as ce
from benchmarks.doctor.fifth.ill_parts import rows as rows

Build = TypeVar("Build", bound=Callable[..., Training])


def keeper(cases: list[Case]) -> Callable[..., Callable[[Build], Build]]:
    """Return a decorator: a builder (seed -> training) becomes a healthy case of the list."""

    def learns(name: str, family: str, steps: int = 60, falls: bool = True) -> Callable[[Build], Build]:
        def kept(build: Build) -> Build:
            cases.append(healthy(f"sixth-{name}", family, seeded(build), steps, falls))
            return build

        return kept

    return learns


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(63_000 + seed)


def loader(seed: int, *tensors: Tensor, size: int = 32) -> DataLoader[Any]:
    """Return an ordinary loader of one epoch."""
    order = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*tensors), size, shuffle=True, generator=order, drop_last=True)


def table(name: str) -> tuple[Tensor, Tensor]:
    """Return one of scikit-learn's bundled tables, columns standardised, and its target."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-6), torch.tensor(y)


def handwriting(classes: int = 10) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits as grey pictures (N, 1, 8, 8) from 0 to 1, and their class."""
    x, y = datasets.load_digits(n_class=classes, return_X_y=True)
    return torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(y)


def large(side: int = 32, channels: int = 3, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Return digits as larger pictures, standardised."""
    x, y = handwriting(classes)
    x = F.interpolate((x - 0.3) / 0.38, size=side, mode="bilinear").expand(-1, channels, -1, -1)
    return x.contiguous(), y


def bce(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross entropy of logits."""
    out = model(*batch[:-1])
    return F.binary_cross_entropy_with_logits(out, batch[-1].float().view_as(out))


def mse(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error."""
    out = model(*batch[:-1])
    return F.mse_loss(out, batch[-1].float().view_as(out))


def own(model: nn.Module, batch: Any) -> Tensor:
    """The model returns its loss."""
    value: Tensor = model(*batch)
    return value


def dense(*widths: int, act: Callable[[], nn.Module] = nn.ReLU, norm: bool = False) -> nn.Sequential:
    """Return linear layers with an activation between."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), *([nn.LayerNorm(b)] if norm else []), act()]
    return nn.Sequential(*layers[: -2 if norm else -1])


def adam(net: nn.Module | list[Any], rate: float = 1e-3, **settings: Any) -> torch.optim.Adam:
    """Return Adam of what learns."""
    return torch.optim.Adam(learning(net), rate, **settings)


def adamw(net: nn.Module | list[Any], rate: float = 1e-3, **settings: Any) -> torch.optim.AdamW:
    """Return AdamW of what learns."""
    return torch.optim.AdamW(learning(net), rate, **settings)


def sgd(net: nn.Module | list[Any], rate: float = 0.1, momentum: float = 0.0, **settings: Any) -> torch.optim.SGD:
    """Return SGD of what learns."""
    return torch.optim.SGD(learning(net), rate, momentum, **settings)


def learning(net: Any) -> list[nn.Parameter]:
    """Return the parameters that learn, of a net or a list."""
    every = net.parameters() if isinstance(net, nn.Module) else net
    return [each for each in every if each.requires_grad]


def numbers() -> Iterator[int]:
    """Yield 0, 1, 2, ...: for a world that needs no data."""
    number = 0
    while True:
        yield number
        number += 1


class Endless:
    """Batches that a function draws, step after step, from the seed; for ever, the same each time."""

    def __init__(self, draw: Callable[[torch.Generator], Any], seed: int) -> None:
        self.draw, self.seed = draw, seed

    def __iter__(self) -> Iterator[Any]:
        generator = dice(self.seed)
        while True:
            yield self.draw(generator)


class Lit(pl.LightningModule):
    """A net, a loss and Adam, with a rate that falls by a cosine if so wished."""

    def __init__(self, net: nn.Module, loss: Callable[[nn.Module, Any], Any], rate: float, steps: int = 0) -> None:
        super().__init__()
        self.net, self.loss, self.rate, self.steps = net, loss, rate, steps

    def forward(self, *inputs: Tensor) -> Any:
        return self.net(*inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Step."""
        loss = self.loss(self, batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """Adam."""
        optimizer = torch.optim.Adam(self.parameters(), self.rate)
        if not self.steps:
            return optimizer
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


class Lion(torch.optim.Optimizer):
    """Lion: the sign of an average, as many write it after the paper."""

    def __init__(self, parameters: Any, lr: float = 1e-4, betas: Any = (0.9, 0.99), weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Step."""
        for group in self.param_groups:
            one, two = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_((average * one + p.grad * (1 - one)).sign(), alpha=-group["lr"])
                average.mul_(two).add_(p.grad, alpha=1 - two)


class Muon(torch.optim.Optimizer):
    """Muon: momentum made orthogonal by five Newton-Schulz steps; for matrices only."""

    def __init__(self, parameters: Any, lr: float = 0.02, momentum: float = 0.9) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Step."""
        for group in self.param_groups:
            for p in group["params"]:
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.mul_(group["momentum"]).add_(p.grad)
                x = (p.grad + group["momentum"] * average).clone()
                x /= x.norm() + 1e-7
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
                p.add_(x, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)
