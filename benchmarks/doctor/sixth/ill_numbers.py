"""Ill in their numbers: what is no number any more, on the way up or on the way down, and what is too large."""

from __future__ import annotations

import math
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.sixth.parts_b import blobs, ce, dice, down, fit, keep, mlp, rows

CASES: list[Case] = []


@keep(CASES, "anchor-without-positive", "nan-forward", "contrastive", 40)
def supcon(seed: int, ill: bool) -> Training:
    """github.com/HobbitLong/SupContrast/issues/141: an anchor that is alone in its class has no positive: 0 / 0.

    Batches of 24 digits mostly have one such. Cure: count at least one.
    """
    net = mlp(64, 64, 16)

    def loss(m: Any, batch: Any) -> Any:
        h = F.normalize(m(batch[0]), dim=1)
        same = (batch[1][:, None] == batch[1]).float().fill_diagonal_(0)
        close = (h @ h.T / 0.5).masked_fill(torch.eye(len(h), dtype=torch.bool), -1e9).log_softmax(1)
        count = same.sum(1)
        return -((same * close).sum(1) / (count if ill else count.clamp(min=1))).mean()

    return fit(net, digits(seed, 24), loss, "adam", 3e-3)


@keep(CASES, "advantage-of-a-single-answer", "nan-forward", "reinforcement", 60)
def alone(seed: int, ill: bool) -> Training:
    """Advantages are (r - mean) / (std + 1e-6) within the answers to a question; too long ones are dropped before.

    Of one answer torch.std is NaN (github.com/pytorch/pytorch/issues/29372), the epsilon does not help. Cure: the
    biased std.
    """
    best = torch.randn(6, 5, generator=dice(seed))
    net = mlp(6, 32, 5)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        x = torch.randn(24, 1, 6).expand(-1, 5, -1)
        chances = m(x).log_softmax(-1)
        answer = (chances - torch.empty_like(chances).exponential_().log()).argmax(-1)
        reward = (answer == (x @ best).argmax(-1)).float() - 0.1 * answer.float()
        logs = chances.gather(-1, answer[..., None])[..., 0]
        short = torch.rand(24, 5) < 0.8
        terms = []
        for r, p, fits in zip(reward, logs, short, strict=True):
            if fits.any():
                r, p = r[fits], p[fits]
                terms.append(-((r - r.mean()) / (r.std(correction=int(ill)) + 1e-6) * p).mean())
        return down(opt, torch.stack(terms).mean())

    return Training(net, repeat(()), torch.optim.Adam(net.parameters(), 1e-2), train_step=step)


@keep(CASES, "divergence-from-votes", "nan-forward", "label distributions", 40)
def votes(seed: int, ill: bool) -> Training:
    """Ages are told by five raters; the loss is written out as sum of p * log(p / q) over the ages.

    An age that nobody named has p = 0, and 0 * log(0) is 0 * -inf. Cure: torch.xlogy, or F.kl_div.
    """
    g = dice(seed)
    x = torch.randn(512, 8, generator=g)
    middle = 3.5 + 1.5 * torch.tanh(x[:, :1] + x[:, 1:2])
    named = (middle + torch.randn(512, 5, generator=g)).round().clamp(0, 7).long()
    p = F.one_hot(named, 8).float().mean(1)
    net = mlp(8, 32, 8)

    def loss(m: Any, batch: Any) -> Any:
        p, q = batch[1], m(batch[0]).softmax(1)
        if ill:
            return (p * (p / q).log()).sum(1).mean()
        return (torch.xlogy(p, p) - p * q.log()).sum(1).mean()

    return fit(net, rows(seed, x, p), loss, "adam", 5e-3)


@keep(CASES, "rotation-by-nothing", "nan-backward", "geometry", 60)
def rotation(seed: int, ill: bool) -> Training:
    """github.com/kornia/kornia/issues/611: an axis-angle vector of 0 becomes a matrix by theta = sqrt(v . v).

    The head starts at zero, so as to start from the identity. The matrix is right; sqrt has no slope at 0.
    """
    g = dice(seed)
    cloud, axis = torch.randn(512, 6, 3, generator=g), 0.5 * torch.randn(512, 3, generator=g)
    cross = torch.zeros(3, 3, 3)
    cross[0, 1, 2] = cross[1, 2, 0] = cross[2, 0, 1] = -1.0
    cross[0, 2, 1] = cross[1, 0, 2] = cross[2, 1, 0] = 1.0
    turned = cloud @ torch.linalg.matrix_exp(torch.einsum("bk,kij->bij", axis, cross)).transpose(1, 2)

    class Turn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(36, 64, 64), nn.Linear(64, 3)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

        def forward(self, before: Tensor, after: Tensor) -> Any:
            v = self.head(F.relu(self.body(torch.cat((before, after), 1).flatten(1))))
            square = v.square().sum(1)[:, None, None]
            theta = square.sqrt() if ill else (square + 1e-8).sqrt()
            k = torch.einsum("bk,kij->bij", v, cross) / (theta + 1e-6)
            matrix = torch.eye(3) + theta.sin() * k + (1 - theta.cos()) * (k @ k)
            return before @ matrix.transpose(1, 2)

    def loss(m: Any, batch: Any) -> Any:
        return F.mse_loss(m(*batch), batch[1])

    return fit(Turn(), rows(seed, cloud, turned), loss, "adam", 3e-3)


@keep(CASES, "padded-negatives-over-temperature", "nan-backward", "retrieval", 40)
def negatives(seed: int, ill: bool) -> Training:
    """github.com/NVIDIA-NeMo/Automodel/pull/3850: padded negatives are set to -inf, then divided by a temperature.

    The loss is finite; the slope by the learned temperature is 0 * -inf. Cure: divide first, then mask.
    """

    class Search(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.item = mlp(12, 32, 16), mlp(12, 32, 16)
            self.temperature = nn.Parameter(torch.tensor(0.5))

        def forward(self, q: Tensor, items: Tensor) -> Any:
            return (F.normalize(self.query(q), dim=-1)[:, None] * F.normalize(self.item(items), dim=-1)).sum(-1)

    g = dice(seed)
    q, items = torch.randn(512, 12, generator=g), torch.randn(512, 7, 12, generator=g)
    items[:, 0] = q.flip(1) + 0.5 * torch.randn(512, 12, generator=g)
    there = torch.arange(7) < torch.randint(4, 8, (512, 1), generator=g)

    def loss(m: Any, batch: Any) -> Any:
        scores = m(*batch[:2])
        if ill:
            scores = scores.masked_fill(~batch[2], -math.inf) / m.temperature
        else:
            scores = (scores / m.temperature).masked_fill(~batch[2], -math.inf)
        return F.cross_entropy(scores, torch.zeros(len(scores)).long())

    return fit(Search(), rows(seed, q, items, there, size=32), loss, "adam", 5e-3)


@keep(CASES, "spread-of-a-repeated-point", "nan-backward", "sets", 60)
def repeated(seed: int, ill: bool) -> Training:
    """Sets are pooled to mean and spread, var.sqrt(); sets of too few points are filled by repeating one.

    Where there was one point only the variance is 0 and sqrt has no slope: github.com/pytorch/pytorch/issues/4320.
    Cure: (var + 1e-4).sqrt().
    """

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each, self.head = mlp(3, 32, 24), mlp(48, 32, 3)

        def forward(self, x: Tensor) -> Any:
            h = self.each(x)
            spread = (h.var(1) + (0.0 if ill else 1e-4)).sqrt()
            return self.head(torch.cat((h.mean(1), spread), 1))

    g = dice(seed)
    y = torch.randint(0, 3, (768,), generator=g)
    x = torch.randn(768, 8, 3, generator=g) * (0.3 + 0.5 * y)[:, None, None]
    x[50::300] = x[50::300, :1]
    return fit(Pooled(), rows(seed, x, y, size=32), ce, "adam", 5e-3)


@keep(CASES, "counts-by-exp-of-raw-columns", "overflow-forward", "insurance", 60, "unscaled-inputs")
def claims(seed: int, ill: bool) -> Training:
    """Claims of five kinds by a Poisson loss with exp as the link; mileage and value of the car come as they are.

    As in github.com/RJT1990/pyflux/issues/21 (and keras-team/keras/issues/590): exp(89) is inf. Cure: standardise.
    """
    g = dice(seed)
    z = torch.randn(768, 4, generator=g)
    x = z * torch.tensor([8e3, 1e4, 12.0, 1.0]) + torch.tensor([2e4, 3e4, 45.0, 0.0])
    y = torch.poisson((z @ torch.randn(4, 5, generator=g) / 3 + 0.5).exp(), generator=g)
    net = mlp(4, 24, 5)

    def loss(m: Any, batch: Any) -> Any:
        rate = m(batch[0]).exp()
        return (rate - batch[1] * (rate + 1e-8).log()).mean()

    return fit(net, rows(seed, x if ill else z, y), loss, "adam", 3e-3)


@keep(CASES, "penalty-on-far-samples", "overflow-forward", "reinforcement", 60)
def penalty(seed: int, ill: bool) -> Training:
    """github.com/THUDM/slime/pull/2198: the penalty exp(r) - r - 1 of the log ratio r to an old policy.

    Actions are normal with a width of 0.05, and the old policy is elsewhere: r is in the hundreds. Cure: clamp r.
    """
    g = dice(seed)
    x = torch.randn(768, 5, generator=g)
    good = torch.tanh(x @ torch.randn(5, 2, generator=g))
    old = good + 0.15 * torch.randn(768, 2, generator=g)
    net = mlp(5, 48, 2, act=nn.Tanh)

    def chance(mean: Tensor, action: Tensor) -> Tensor:
        return (-0.5 * ((action - mean) / 0.05).square() - math.log(0.05)).sum(1)

    def loss(m: Any, batch: Any) -> Any:
        mean = m(batch[0])
        action = (mean + 0.05 * torch.randn_like(mean)).detach()
        r = chance(batch[1], action) - chance(mean, action)
        back = chance(batch[1], batch[1]) - chance(mean, batch[1])
        if not ill:
            r, back = r.clamp(-5, 5), back.clamp(-5, 5)
        both = (r.exp() - r - 1) + (back.exp() - back - 1)
        return F.mse_loss(mean, batch[2]) + 1e-3 * both.mean()

    return fit(net, rows(seed, x, old, good), loss, "adam", 3e-3)


@keep(CASES, "temperature-halved-for-ever", "overflow-forward", "autoencoders", 160, "nan-forward")
def annealed(seed: int, ill: bool) -> Training:
    """A categorical autoencoder halves the temperature of its Gumbel softmax each step, down to nothing.

    Soon the encoder stands still; at last logits / temperature is inf, and the softmax of that NaN. Cure: a floor.
    """

    class Codes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode = mlp(10, 32, 8), nn.Linear(8, 10)
            self.temperature = 2.0

        def forward(self, x: Tensor) -> Any:
            self.temperature = self.temperature / 2 if ill else max(0.95 * self.temperature, 0.3)
            noise = -torch.empty(len(x), 8).exponential_().log()
            return self.decode(((self.encode(x) + noise) / self.temperature).softmax(1))

    x, _ = blobs(seed).tensors

    def loss(m: Any, batch: Any) -> Any:
        return F.mse_loss(m(batch[0]), batch[0])

    return fit(Codes(), rows(seed, x), loss, "adam", 2e-2)
