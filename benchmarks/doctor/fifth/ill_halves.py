"""Ill in half precision: numbers above 65,504, and numbers that are too small to be there."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, teacher
from benchmarks.doctor.fifth.ill_parts import dice, fit, keep, missed, mlp, mse, rows

CASES: list[Case] = []


@keep(CASES, "mask-of-a-billion", "precision-overflow", "transformers", 40)
def mask(seed: int, ill: bool) -> Training:
    """github.com/NVIDIA/apex/issues/93: (1 - mask) * -1e9 in float16 is 0 * -inf for each word that is there.

    Symptom: NaN from the first step on, in half precision only. Cure: -1e4.
    """
    g = dice(seed)
    words = torch.randint(1, 30, (512, 12), generator=g)
    words[torch.arange(12) >= torch.randint(5, 13, (512, 1), generator=g)] = 0
    y = (words > 18).sum(1).gt(2).long()

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.qkv, self.head = nn.Embedding(30, 32), nn.Linear(32, 96), nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Any:
            q, k, v = self.qkv(self.embed(x)).half().chunk(3, -1)
            there = (x > 0).half()[:, None]
            scores = q @ k.transpose(1, 2) / 32**0.5
            scores = scores + (1 - there) * torch.tensor(-1e9 if ill else -1e4).half()
            return self.head((scores.softmax(-1) @ v).float().mean(1))

    return fit(Tagger(), rows(seed, words, y, size=32), lambda m, b: F.cross_entropy(m(b[0]), b[1]), "adam", 3e-3)


@keep(CASES, "sum-of-a-picture-in-half", "precision-overflow", "super-resolution", 40)
def total(seed: int, ill: bool) -> Training:
    """The squared errors of a batch of pictures are summed in float16: 16 * 1,024 of some four are 65,536.

    Symptom: loss inf. Cure: .float() before the sum.
    """
    x, spot = discs(seed, side=32).tensors
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)).half()

    def loss(m: Any, batch: Any) -> Any:
        out, want = m(batch[0].half()), batch[1].half()
        out, want = (out, want) if ill else (out.float(), want.float())
        return F.mse_loss(out, want, reduction="sum") if ill else F.mse_loss(out, want)

    return fit(net, rows(seed, x, 4 * spot - 2, size=16), loss, "plain", 1e-2)


@keep(CASES, "distances-of-pixels", "precision-overflow", "detection", 40)
def pixels(seed: int, ill: bool) -> Training:
    """Squared distances |a|^2 - 2ab + |b|^2 of corners in pixels, in float16: 300^2 is too much already.

    After github.com/NVIDIA/cuvs/issues/914 (infinite distances).
    Cure: coordinates as shares of the picture.
    """
    g = dice(seed)
    corners = torch.rand(512, 6, 2, generator=g) * torch.tensor([640.0, 480.0])
    y = (torch.cdist(corners, corners) < 160).float().sum((1, 2), keepdim=True)[:, 0] / 6 - 2

    class Near(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(36, 32, 1)

        def forward(self, x: Tensor) -> Any:
            p = (x if ill else x / 640).half()
            square = p.square().sum(-1)
            far = square[:, :, None] - 2 * p @ p.transpose(1, 2) + square[:, None]
            return self.net(torch.exp(-4 * far.float().flatten(1)))

    return fit(Near(), rows(seed, corners, y), mse, "adam", 3e-3)


@keep(CASES, "autocast-without-scaler", "precision-underflow", "dense", 100)
def autocast(seed: int, ill: bool) -> Training:
    """github.com/engichang1467/Open-Rig3R/issues/35: autocast is float16, and there is no GradScaler.

    The term has a weight of 1e-6 among others, so its gradients in half are zero. Cure: bfloat16.
    """
    net = mlp(64, 64, 64, 10)
    kind = torch.float16 if ill else torch.bfloat16

    def loss(m: Any, batch: Any) -> Any:
        with torch.autocast("cpu", dtype=kind):
            out = m(batch[0])
            return F.cross_entropy(out.float(), batch[1]) * 1e-6

    opt = torch.optim.Adam(net.parameters(), 3e-3, eps=1e-15)
    return Training(net, digits(seed), opt, loss, score=missed(digits(seed)))


@keep(CASES, "small-number-is-zero", "precision-underflow", "generative", 60)
def small_number(seed: int, ill: bool) -> Training:
    """log(p + 1e-8) guards in float32; in float16 1e-8 is 0, and a sure discriminator's log(0) is -inf.

    After github.com/pyg-team/pytorch_geometric/pull/2106. Cure: log-sigmoid, in float32.
    """
    g = dice(seed)
    x = torch.randn(768, 8, generator=g)
    y = (x[:, :1] + x[:, 1:2] > 0).float()
    net = mlp(8, 32, 1)

    def loss(m: Any, batch: Any) -> Any:
        out = 4 * m(batch[0])
        if not ill:
            return F.binary_cross_entropy_with_logits(out, batch[1])
        p = out.half().sigmoid()
        return -(batch[1] * (p + 1e-8).log() + (1 - batch[1]) * (1 - p + 1e-8).log()).float().mean()

    return fit(net, rows(seed, x, y), loss, "adam", 1e-2)


@keep(CASES, "steps-below-the-grid", "precision-underflow", "dense", 200)
def grid(seed: int, ill: bool) -> Training:
    """model.to(torch.bfloat16) to save memory, no float32 copy of the weights, and a small rate.

    As github.com/pytorch/ao/pull/1124 explains: around 0.1 bfloat16 goes by 0.0005, so a step of 1e-4 is rounded
    away. Symptom: the loss stays on a plateau.
    """
    x, y = teacher(seed).tensors
    net = mlp(8, 64, 64, 1)
    if ill:
        net = net.bfloat16()
    kind = torch.bfloat16 if ill else torch.float32
    opt = torch.optim.SGD(net.parameters(), 3e-3)

    def loss(m: Any, batch: Any) -> Any:
        return F.mse_loss(m(batch[0].to(kind)).float(), batch[1])

    return Training(net, rows(seed, x, y), opt, loss)
