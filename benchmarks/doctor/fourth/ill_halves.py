"""Ill in sixteen bits: too large, too small. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, mse
from benchmarks.doctor.fourth.science import Ensemble


class CoarseMatching(nn.Module):
    """Attention over a padded set in half, masked by a large negative number."""

    def __init__(self, half: bool) -> None:
        super().__init__()
        self.proj, self.val, self.out = nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(16, 1)
        self.dtype = torch.float16 if half else torch.float32
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, pos: Tensor, charge: Tensor) -> Any:
        x = torch.cat([pos, charge], 2)
        q = self.proj(x).to(self.dtype)
        keep = (charge[..., 0] > 0).to(self.dtype)[:, None]
        big = torch.tensor(1e9).to(self.dtype)
        attn = self.softmax(q @ q.transpose(1, 2) - big * (1 - keep))
        return self.out((attn.float() @ self.val(x)).mean(1))


def coarse(seed: int, ill: bool) -> Training:
    """INF=1e9 is out of float16's range: github.com/zju3dv/LoFTR/issues/285"""
    x, q, y = data.bodies(seed).tensors
    q = q.clone()
    q[:, 0] = 1.0
    return fit(CoarseMatching(ill), Batches((x, q, y), 32, seed), mse)


class FeedForward(nn.Module):
    """A feed-forward layer whose stream has grown large in pretraining, as it does."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 96), nn.Linear(96, 64)
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)
        self.dtype, self.wide = dtype, nn.Identity()
        with torch.no_grad():
            self.fc1.weight.mul_(60)
            self.fc2.weight.mul_(6000)

    def forward(self, x: Tensor) -> Any:
        h = F.gelu(self.fc1(x)).to(self.dtype)
        h = self.wide(F.linear(h, self.fc2.weight.to(self.dtype), self.fc2.bias.to(self.dtype)))
        return self.head(self.norm(x + h.float()))


def feed_forward(seed: int, ill: bool) -> Training:
    """fc2's output overflows: github.com/huggingface/transformers/issues/12225"""
    return fit(FeedForward(torch.float16 if ill else torch.bfloat16), digits(seed), ce, rate=1e-3)


class Gram(nn.Module):
    """The products of all channels, summed over all places, as style is measured."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv, self.dtype, self.gram = nn.Conv2d(3, 12, 3), dtype, nn.Identity()
        self.fc = nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Any:
        f = F.relu(150 * self.conv(x)).flatten(2).to(self.dtype)
        g = self.gram(f @ f.transpose(1, 2))
        return self.fc(F.normalize(g.float().flatten(1), dim=1) * 6)


def style(seed: int, ill: bool) -> Training:
    """Return the training of `Gram`."""
    return fit(Gram(torch.float16 if ill else torch.float32), data.scenes(seed), ce, rate=1e-2)


class HubSum(nn.Module):
    """Messages are summed over the links, with how many citations each brings as a weight, in half."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.lin, self.out, self.dtype, self.summed = nn.Linear(12, 24), nn.Linear(24, 3), dtype, nn.Identity()

    def forward(self, x: Tensor, adj: Tensor) -> Any:
        h = self.summed((9000 * adj).to(self.dtype) @ torch.relu(self.lin(x)).to(self.dtype)).float()
        return self.out(F.layer_norm(h, (24,)))


def hubs(seed: int, ill: bool) -> Training:
    """Return the training of `HubSum`."""
    return fit(
        HubSum(torch.float16 if ill else torch.float32),
        data.citations(seed),
        lambda m, b: F.cross_entropy(m(b[0], b[1]), b[2]),
        rate=1e-2,
    )


def bf16_weights(seed: int, ill: bool) -> Training:
    """Weights near one, kept in bfloat16, do not move by steps of a thousandth: github.com/workofart/ml-by-hand/pull/85"""

    class Gains(nn.Module):
        readout: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(64, dtype=torch.bfloat16 if ill else torch.float32))
            self.scale = nn.Parameter(torch.ones(10, dtype=self.gain.dtype))
            self.register_buffer("readout", torch.zeros(64, 10))

        def forward(self, x: Tensor) -> Any:
            return (self.gain.float() * x) @ self.readout * self.scale.float()

    net = Gains()
    x, y = digits(seed).tensors
    # the read-out was fitted to pixels that are now too bright or too dark, each in its own way
    bright = 1 + 0.9 * torch.randn(64, generator=torch.Generator().manual_seed(seed))
    target = 4 * F.one_hot(y, 10).float()
    net.readout.copy_(torch.linalg.solve(x.T @ x + 50 * torch.eye(64), x.T @ target))
    return fit(net, Batches((x / bright, y), 64, seed), ce, "adam", 1.5e-3)


def half_adam(seed: int, ill: bool) -> Training:
    """Adam's epsilon and the squares of small gradients are zero in float16: github.com/afiaka87/glide-finetune/issues/5"""

    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 48), nn.Linear(48, 10)

        def forward(self, x: Tensor) -> Any:
            h = torch.relu(self.fc1(x.to(self.fc1.weight.dtype)))
            return self.fc2(h).float()

    net: Any = Halved().half() if ill else Halved()
    opt = torch.optim.Adam(net.parameters(), 2e-3, eps=1e-8)
    return Training(net, digits(seed), opt, ce)


class Favor(nn.Module):
    """Positive random features; their sum, the normaliser, is too small for half. github.com/facebookresearch/xformers/issues/96"""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(16, 1)
        self.dtype = dtype

    def forward(self, pos: Tensor, charge: Tensor) -> Any:
        x = torch.cat([pos, charge], 2)
        q, k = (torch.exp(f(x) - f(x).square().sum(-1, keepdim=True) / 2 - 6).to(self.dtype) for f in (self.q, self.k))
        v = self.v(x).to(self.dtype)
        num, den = q @ (k.transpose(1, 2) @ v), (q @ k.sum(1)[..., None])
        return self.out((num.float() / (den.float() + 1e-12)).mean(1))


def favor(seed: int, ill: bool) -> Training:
    """Return the training of `Favor`."""
    return fit(Favor(torch.float16 if ill else torch.float32), data.bodies(seed), mse, rate=1e-2)


class HalfDenoiser(nn.Module):
    """Convolutions whose stream is kept in half."""

    def __init__(self, half: bool) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 3, 3, 1, 1)
        self.half_ = half

    def cast(self, x: Tensor) -> Tensor:
        return x.half().float() if self.half_ else x

    def forward(self, x: Tensor) -> Any:
        for conv in (self.a, self.b):
            x = torch.relu(self.cast(conv(self.cast(x))))
        return self.cast(self.c(self.cast(x)))


def small_pixels(seed: int, ill: bool) -> Training:
    """A mean over many pixels, times a small weight, without a scaler: what comes back is below 6e-8."""

    def loss(m: nn.Module, b: Any) -> Any:
        return 1e-4 * F.mse_loss(m(b[0]), b[1])

    return fit(HalfDenoiser(ill), data.grainy(seed), loss, rate=5e-3)


def half_members(seed: int, ill: bool) -> Training:
    """An ensemble in half under plain SGD, with a loss that is weighed by a millionth and a rate to match."""
    net: Any = Ensemble()

    def loss(m: nn.Module, b: Any) -> Any:
        out = m(b[0])
        out = out.half() if ill else out
        return 1e-6 * F.cross_entropy(out.float(), b[1])

    return fit(net, digits(seed), loss, "sgd", 3e4)


CASES = [
    ill("coarse-matching", "precision-overflow", "attention", coarse, 30, "nan-forward"),
    ill("feed-forward", "precision-overflow", "transformers", feed_forward, 60, "nan-forward"),
    ill("style-of-pictures", "precision-overflow", "convolutional", style, 60, "nan-forward"),
    ill("hubs", "precision-overflow", "graph nets", hubs, 60, "nan-forward"),
    ill("gains-in-bfloat16", "precision-underflow", "dense", bf16_weights, 150, "step-too-small"),
    ill("adam-in-half", "precision-underflow", "dense", half_adam, 80, "precision-overflow nan-forward"),
    ill("random-features", "precision-underflow", "attention", favor, 100, "nan-forward"),
    ill("small-pixels", "precision-underflow", "restoration", small_pixels, 80),
    ill("members-in-half", "precision-underflow", "ensembles", half_members, 60),
]  # fmt: skip
