"""Ill at both ends: heads that do not fit their loss, inputs and targets in the units they came in."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, pictures, teacher
from benchmarks.doctor.fifth.ill_parts import ce, dice, fit, keep, missed, mlp, mse, rows, unexplained

CASES: list[Case] = []


@keep(CASES, "view-for-permute", "loss-head-mismatch", "tagging", 120)
def view(seed: int, ill: bool) -> Training:
    """A tagger by Conv1d gives (B, classes, T); .reshape(-1, classes) makes it fit the targets (B * T), and mixes all.

    After github.com/vitrioil/Speech-Separation/issues/4. Symptom: the loss falls a little and stays.
    Cure: transpose(1, 2) before.
    """
    words = torch.randint(0, 20, (512, 12), generator=dice(seed))
    tags = (words % 5 + words.roll(1, 1) % 2) % 5

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 16)
            self.convs = nn.Sequential(nn.Conv1d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 5, 3, padding=1))

        def forward(self, x: Tensor) -> Any:
            return self.convs(self.embed(x).transpose(1, 2))

    def loss(m: Any, batch: Any) -> Any:
        out = m(batch[0])
        return F.cross_entropy((out if ill else out.transpose(1, 2)).reshape(-1, 5), batch[1].flatten())

    return fit(Tagger(), rows(seed, words, tags, size=32), loss, "adam", 5e-3)


@keep(CASES, "zero-for-minus-one", "loss-head-mismatch", "metric learning", 120)
def pairs(seed: int, ill: bool) -> Training:
    """CosineEmbeddingLoss wants 1 and -1; targets are 1 and 0. For 0 it gives no loss: all vectors become one.

    After github.com/pytorch/pytorch/issues/23782 and 49917: it takes any target.
    """
    x, y = digits(seed).tensors
    order = torch.randperm(len(x), generator=dice(seed))
    alike = torch.where(torch.arange(len(x)) % 2 == 0, order, torch.arange(len(x)).roll(1))
    for c in range(10):
        members = (y == c).nonzero()[:, 0]
        even = members[members % 2 == 0]
        alike[even] = even.roll(1)
    same = (y == y[alike]).long()
    net = mlp(64, 64, 16)

    def loss(m: Any, batch: Any) -> Any:
        target = batch[2] if ill else 2 * batch[2] - 1
        return F.cosine_embedding_loss(m(batch[0]), m(batch[1]), target, margin=0.2)

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            near = F.cosine_similarity(m(x[:400]), m(x[alike[:400]]))
        return float((near > 0.6).ne(same[:400].bool()).float().mean())

    return fit(net, rows(seed, x, x[alike], same), loss, "adam", 2e-3, score)


@keep(CASES, "scores-into-with-logits", "loss-head-mismatch", "lightning", 100)
def scores(seed: int, ill: bool) -> Training:
    """github.com/Lightning-AI/pytorch-lightning/issues/18272: forward gives sigmoid(logits) into ..._with_logits.

    Several labels a picture, most of them absent; none can be told less likely than a half.
    """
    x, y = digits(seed).tensors
    labels = F.one_hot(y, 10).float() + F.one_hot((y + 3) % 10, 10).float()

    class Lit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(64, 64, 10)

        def forward(self, x: Tensor) -> Any:
            return self.net(x).sigmoid() if ill else self.net(x)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return F.binary_cross_entropy_with_logits(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 3e-3)

    return Training(Lit(), rows(seed, x, labels))


@keep(CASES, "divided-twice", "unscaled-inputs", "convolutional", 80)
def twice(seed: int, ill: bool) -> Training:
    """ToTensor has divided by 255, and the training loop divides by 255 again: pictures between 0 and 0.004.

    github.com/4uiiurz1/pytorch-nested-unet/issues/62, github.com/magenta/magenta/pull/925.
    """
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 4)
    )
    x, y = pictures(seed, side=16).tensors
    x = (x - x.min()) / (x.max() - x.min())
    return fit(net, rows(seed, x / 255 if ill else x, y, size=16), ce, "sgd", 0.02)


@keep(CASES, "prices-into-lstm", "unscaled-inputs", "forecasting", 150)
def prices(seed: int, ill: bool) -> Training:
    """Shares of 40 to 4,000 go into an LSTM as they are; only the target, tomorrow's change, was scaled.

    Every gate is at its bound, each company gives a constant.
    Cure, as in datascience.stackexchange.com/questions/40425: changes of the logarithm.
    """
    g = dice(seed)
    noise = torch.randn(768, 31, generator=g)
    change = torch.zeros(768, 31)
    for t in range(1, 31):
        change[:, t] = 0.8 * change[:, t - 1] + noise[:, t]
    level = 40 * 100 ** torch.rand(768, 1, generator=g)
    price = level * (0.02 * change).cumsum(1).exp()
    x = price[:, :30] if ill else change[:, :30]

    class Tomorrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x[..., None])[0][:, -1])

    return fit(Tomorrow(), rows(seed, x, change[:, 30:]), mse, "adam", 1e-2)


@keep(CASES, "followers-and-likes", "unscaled-inputs", "tables", 120)
def followers(seed: int, ill: bool) -> Training:
    """Counts with long tails (followers, likes, seconds watched) straight out of a table; the few large ones rule.

    Symptom: the loss jumps between 0.7 and thousands. Cure: log1p and a standard scale.
    """
    g = dice(seed)
    z = torch.randn(768, 6, generator=g)
    counts = (torch.tensor([6.0, 4, 8, 3, 5, 7]) + 1.5 * z).exp().floor()
    y = (z[:, 0] - z[:, 1] + 0.5 * z[:, 2] * z[:, 3] > 0).long()
    logs = counts.log1p()
    x = counts if ill else (logs - logs.mean(0)) / logs.std(0)
    return fit(mlp(6, 32, 32, 2), rows(seed, x, y), ce, "adam", 5e-3, missed([(x, y)]))


@keep(CASES, "pascals-beside-shares", "unscaled-targets", "dynamics", 120)
def units(seed: int, ill: bool) -> Training:
    """Two targets, one loss: a pressure in pascals (about 1e3 around 1e5) and a share of steam below 1.

    The mean squared error is that of the pressure; the share is never learned.
    """
    g = dice(seed)
    x = torch.randn(768, 6, generator=g)
    h = torch.tanh(x @ torch.randn(6, 2, generator=g) / 1.5)
    y = torch.stack((1e5 + 2e3 * h[:, 0], 0.5 + 0.3 * h[:, 1]), 1)
    mean, std = y.mean(0), y.std(0)
    used = y if ill else (y - mean) / std
    score = unexplained([(x, y)]) if ill else unexplained([(x, y)], std, mean)
    return fit(mlp(6, 48, 48, 2), rows(seed, x, used), mse, "adam", 3e-3, score)


@keep(CASES, "depth-in-millimetres", "unscaled-targets", "dense prediction", 80)
def depth(seed: int, ill: bool) -> Training:
    """Depth maps of 16 bits are millimetres, 600 to 4,000; the net starts near 0, and Adam goes 1e-3 a step."""
    x, mask = discs(seed).tensors
    deep = 2500 - 1500 * mask * (1 + 0.2 * mask.mean((2, 3), keepdim=True)) + 100 * x[:, :, :1]
    mean, std = deep.mean(), deep.std()
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            out = m(x[:64]) if ill else m(x[:64]) * std + mean
        return float((out - deep[:64]).square().mean() / deep[:64].var())

    return fit(net, rows(seed, x, deep if ill else (deep - mean) / std, size=16), mse, "adam", 1e-3, score)


@keep(CASES, "year-of-the-song", "unscaled-targets", "lightning", 150)
def years(seed: int, ill: bool) -> Training:
    """The year of a song, around 1998: Adam is still on its way up from zero when the training ends.

    After stats.stackexchange.com/questions/409000 (house prices: outputs worked slowly up towards the mean).
    """
    x, y = teacher(seed, inputs=12, scale=10.0, shift=1998.0).tensors

    class Lit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(12, 64, 32, 1)

        def forward(self, x: Tensor) -> Any:
            return self.net(x)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return F.mse_loss(self(batch[0]), batch[1] if ill else (batch[1] - 1998) / 10)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 3e-3)

    return Training(Lit(), rows(seed, x, y), score=unexplained([(x, y)], *((1.0, 0.0) if ill else (10.0, 1998.0))))
