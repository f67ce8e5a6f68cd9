"""Ill in their steps: too large, too small, to and fro."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, pictures, tokens, waves
from benchmarks.doctor.fifth.ill_parts import ce, dice, fit, keep, missed, mlp, mse, rows, unexplained

CASES: list[Case] = []


@keep(CASES, "rate-of-sgd-for-adam", "step-too-large", "convolutional", 80)
def sgd_rate(seed: int, ill: bool) -> Training:
    """github.com/gcr/torch-residual-networks/issues/10 and many like it: 0.1, which the paper used, and now Adam.

    Each weight moves 0.1 a step, whatever its gradient.
    """

    layers: list[nn.Module] = []
    for i, (a, b) in enumerate([(3, 12), (12, 16), (16, 16), (16, 16)]):
        layers += [nn.Conv2d(a, b, 3, 1 + i % 2, 1), nn.LeakyReLU(0.1)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 64), nn.LeakyReLU(0.1), nn.Linear(64, 4))
    return fit(net, pictures(seed, side=16), ce, "adam", 0.1 if ill else 1e-3)


@keep(CASES, "summed-over-the-picture", "step-too-large", "autoencoders", 80)
def summed(seed: int, ill: bool) -> Training:
    """A VAE's loss from the paper, summed over the pixels, under SGD with a rate for a mean.

    After github.com/Alibaba-MIIL/ASL/issues/56: with SGD a sum is far less stable than a mean.
    """

    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode = mlp(64, 48, 16, act=nn.ELU), mlp(8, 48, 64, act=nn.ELU)

        def forward(self, x: Tensor) -> Any:
            mean, log = self.encode(x).chunk(2, 1)
            z = mean + (0.5 * log.clamp(-8, 8)).exp() * torch.randn_like(mean)
            return self.decode(z), 0.5 * (mean.square() + log.clamp(-8, 8).exp() - log - 1).sum(1)

    def loss(m: Any, batch: Any) -> Any:
        out, kl = m(batch[0])
        error = (out - batch[0]).square()
        return (error.sum(1).mean() + kl.mean()) / (1 if ill else 64)

    x = digits(seed).tensors[0]

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            return float(F.mse_loss(m(x)[0], x) / x.var())

    return fit(Vae(), digits(seed), loss, "sgd", 0.05, score)


@keep(CASES, "momentum-of-a-beta", "step-too-large", "recurrent", 120, "oscillation")
def momentum(seed: int, ill: bool) -> Training:
    """momentum=0.999, taken for Adam's second beta: a thousand gradients add up, each step is a thousandfold."""

    class Lines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.gru(x.view(-1, 8, 8))[0][:, -1])

    net = Lines()
    opt = torch.optim.SGD(net.parameters(), 0.2, momentum=0.999 if ill else 0.9)
    return Training(net, digits(seed), opt, ce)


@keep(CASES, "factor-is-the-rate", "step-too-small", "transformers", 100)
def factor(seed: int, ill: bool) -> Training:
    """github.com/pytorch/pytorch/issues/78917, github.com/lhoyer/MIC/issues/60: LambdaLR wants a factor, not a rate.

    The lambda gives the rate itself, so that 2e-3 becomes 4e-6.
    """

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(30, 32), nn.Linear(32, 2)
            self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.layer(self.embed(x)).mean(1))

    net = Encoder()
    opt = torch.optim.AdamW(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda i: (2e-3 if ill else 1.0) * min(1.0, (i + 1) / 10))

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = ce(m, batch)
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        return loss

    return Training(net, tokens(seed), opt, train_step=step)


@keep(CASES, "rate-of-a-tuned-bert", "step-too-small", "lightning", 100)
def tuned(seed: int, ill: bool) -> Training:
    """2e-5, as one fine-tunes BERT, for a small net from scratch under plain SGD: nothing moves."""

    class Lit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10)
            )

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 2e-5 if ill else 2e-2)

    return Training(Lit(), digits(seed))


@keep(CASES, "divided-by-the-data", "step-too-small", "forecasting", 120)
def divided(seed: int, ill: bool) -> Training:
    """loss = criterion(...).mean() / len(dataset): a mean of a mean, 768 times too small for SGD."""
    x = waves(seed, length=25).tensors[0][..., 0]
    net = mlp(24, 32, 1, act=nn.Tanh)
    share = 1 / 768 if ill else 1.0
    data = rows(seed, x[:, :-1], x[:, -1:])
    return fit(net, data, lambda m, b: share * mse(m, b), "plain", 0.1, unexplained(data))


@keep(CASES, "sorted-by-class", "oscillation", "convolutional", 200)
def by_class(seed: int, ill: bool) -> Training:
    """No shuffle, and the folder is sorted by class: each batch is of one digit, and the net says that one next.

    After datascience.stackexchange.com/questions/42326 ("whipsawing", as an answer calls it). Symptom: the loss
    falls to nothing and jumps back, again and again.
    """
    x, y = digits(seed).tensors
    order = y.argsort(stable=True)
    x, y = x[order], y[order]
    starts = [int((y == c).nonzero()[0]) for c in range(10)]
    batches = [(x[s + 32 * k : s + 32 * k + 32], y[s + 32 * k : s + 32 * k + 32]) for s in starts for k in range(5)]
    net = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))
    return fit(net, batches * 5 if ill else digits(seed, 32), ce, "sgd", 0.05, missed(digits(seed)))


@keep(CASES, "absolute-error-to-and-fro", "oscillation", "forecasting", 100, "step-too-large")
def absolute(seed: int, ill: bool) -> Training:
    """L1Loss and plain SGD: its slope is as steep near the minimum as far off, so each step crosses it.

    Symptom: the loss goes up and down by half from batch to batch and gets nowhere. Cure: a smaller rate.
    """
    g = dice(seed)
    x = torch.randn(768, 12, generator=g) + 1.5
    y = x @ torch.randn(12, 1, generator=g)
    data = rows(seed, x, (y - y.mean()) / y.std())
    return fit(nn.Linear(12, 1), data, lambda m, b: F.l1_loss(m(b[0]), b[1]), "plain", 0.08 if ill else 0.01)


@keep(CASES, "cycles-too-high", "oscillation", "dense", 160, "step-too-large")
def cycles(seed: int, ill: bool) -> Training:
    """CyclicLR with the largest rate that a range test still gave a number for: each peak undoes what was learned.

    Symptom: a loss like a saw. Cure: a peak where the loss still falls.
    """
    net = mlp(64, 64, 64, 10, act=nn.Tanh)
    opt = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CyclicLR(opt, 0.01, 1.0 if ill else 0.1, step_size_up=8, cycle_momentum=False)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = ce(m, batch)
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        return loss

    return Training(net, digits(seed), opt, train_step=step)
