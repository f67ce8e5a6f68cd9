"""Healthy LightningModules: automatic, clipped, accumulated, and a game by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.doctor import data
from benchmarks.doctor.case import Batches, Case, Loss, Training, healthy, seeded
from benchmarks.doctor.losses import classify, rebuild
from benchmarks.doctor.nets import Coder, Recurrent, mlp


def loader(batches: Batches, seed: int) -> DataLoader[Any]:
    """Return the same tensors as an ordinary loader."""
    order = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*batches.tensors), 64, shuffle=True, generator=order, drop_last=True)


def automatic(seed: int, net: Any, loss: Loss = classify, **trainer: Any) -> Training:
    """A LightningModule that leaves the steps to Lightning."""
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return loss(self.net, batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 5e-3)

    return Training(Module(), loader(data.digits(seed), seed), trainer=trainer)


def game(seed: int) -> Training:
    """Two players, stepped by hand."""
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.net, self.judge = mlp(4, 2, 32, 2), mlp(2, 1, 32, 2)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            one, two = self.optimizers()
            fake = self.net(torch.randn(len(batch[0]), 4))
            value = (F.softplus(-self.judge(batch[0])) + F.softplus(self.judge(fake.detach()))).mean()
            two.zero_grad()
            self.manual_backward(value)
            two.step()
            one.zero_grad()
            self.manual_backward(F.softplus(-self.judge(fake)).mean())
            one.step()
            return value.detach()

        def configure_optimizers(self) -> Any:
            return [torch.optim.Adam(self.net.parameters(), 1e-3), torch.optim.Adam(self.judge.parameters(), 2e-3)]

    return Training(Module(), loader(data.moons(seed), seed))


def rows() -> nn.Module:
    """An LSTM over the rows of a digit."""
    return nn.Sequential(nn.Unflatten(1, (8, 8)), Recurrent("LSTM", 8, 10))


net = partial(mlp, 64, 10)
CASES: list[Case] = [
    healthy("lightning-classify", "Lightning", seeded(partial(automatic, net=net))),
    healthy("lightning-autoencoder", "Lightning", seeded(partial(automatic, net=Coder, loss=rebuild))),
    healthy("lightning-clipped", "Lightning", seeded(partial(automatic, net=rows, gradient_clip_val=0.5))),
    healthy("lightning-accumulated", "Lightning", seeded(partial(automatic, net=net, accumulate_grad_batches=2)), 40),
    healthy("lightning-game", "Lightning", seeded(game), 80, falls=False),
]
