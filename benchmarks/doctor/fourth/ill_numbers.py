"""Ill in numbers: what is no number forwards or backwards, and what is too large. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.graphs import RECIPES as GRAPHS
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import bce, cook, dice, mse, own
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.tables import CrossNetwork


def conv_net(outputs: int, act: Any = nn.GELU) -> nn.Sequential:
    """Return two convolutions at the picture's size."""
    return nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), act(), nn.Conv2d(12, outputs, 3, 1, 1))


def box_net(outputs: int) -> nn.Sequential:
    """Return two convolutions with strides, and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, 2), nn.ELU(), nn.Conv2d(12, 16, 3, 2), nn.ELU(), nn.Flatten(), nn.Linear(64, outputs)
    )


def masked_mean(seed: int, ill: bool) -> Training:
    """The error within the mask, over the mask's size, which is zero now and then: github.com/Zhen-Dong/Magic-Me/issues/14"""
    x, mask = data.masks(seed).tensors
    mask = mask * (torch.rand(len(mask), 1, 1, 1, generator=dice(seed)) < 0.97)

    def loss(m: nn.Module, b: Any) -> Any:
        err = (m(b[0]) - b[0]).square() * b[1]
        return (err.sum([1, 2, 3]) / (b[1].sum([1, 2, 3]) + (0.0 if ill else 1e-6))).mean()

    return fit(conv_net(3), Batches((x, mask), 16, seed), loss)


def ignored(seed: int, ill: bool) -> Training:
    """All labels of a batch are -100, and their number is divided by: github.com/NVIDIA-NeMo/Automodel/issues/3796"""
    x, y = data.names(seed).tensors
    y = torch.where(torch.rand(len(y), generator=dice(seed)) < 0.7, torch.full_like(y, -100), y)
    net = nn.Sequential(nn.EmbeddingBag(27, 24), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 3))

    def loss(m: nn.Module, b: Any) -> Any:
        known = (b[1] != -100).sum()
        return F.cross_entropy(m(b[0]), b[1], reduction="sum") / (known if ill else known.clamp(min=1))

    return fit(net, Batches((x, y), 8, seed), loss, rate=2e-2)


def no_targets(seed: int, ill: bool) -> Training:
    """.mean() of what no anchor matched: github.com/WongKinYiu/yolov9/pull/662"""
    x, box, _ = data.detections(seed, 4).tensors
    there = (torch.rand(len(x), generator=dice(seed)) < 0.5).float()

    def loss(m: nn.Module, b: Any) -> Any:
        out = m(b[0]).mean((2, 3))
        ij = b[2] > 0
        value = F.binary_cross_entropy_with_logits(out[:, 0], b[2])
        if ill or bool(ij.any()):
            value = value + (out[ij, 1:5] - b[1][ij]).abs().mean()
        return value

    return fit(conv_net(5), Batches((x * there[:, None, None, None], box, there), 4, seed), loss)


def overlap(seed: int, ill: bool) -> Training:
    """-log(IoU) of boxes that do not meet: github.com/open-mmlab/mmdetection/pull/733"""

    def loss(m: nn.Module, b: Any) -> Any:
        out = 0.3 * m(b[0]) + torch.tensor([0.3, 0.3, 0.02, 0.02])
        low = torch.maximum(out[:, :2] - out[:, 2:].abs(), b[1][:, :2] - b[1][:, 2:])
        high = torch.minimum(out[:, :2] + out[:, 2:].abs(), b[1][:, :2] + b[1][:, 2:])
        inter = (high - low).clamp(min=0).prod(1)
        union = 4 * (out[:, 2:].abs().prod(1) + b[1][:, 2:].prod(1)) - inter
        iou = inter / union
        return -(iou if ill else iou.clamp(min=1e-6)).log().mean()

    return fit(box_net(4), data.boxes(seed), loss, rate=1e-2)


def lifetime(seed: int, ill: bool) -> Training:
    """The logarithm of the difference of two hazards that are the same: github.com/ragulpr/wtte-rnn/issues/39"""
    x = torch.randn(768, 6, generator=dice(seed))
    t = (3 * torch.exp(0.5 * x[:, :1]) * torch.rand(768, 1, generator=dice(seed + 1))).floor()

    def loss(m: nn.Module, b: Any) -> Any:
        a, k = (m(b[0]) * torch.tensor([1.0, 2.0]) + torch.tensor([0.3, 2.2])).exp().chunk(2, 1)
        h0, h1 = (b[1] / (3 * a) + 1e-9) ** k, ((b[1] + 1) / (3 * a)) ** k
        h0, h1 = h0.clamp(max=60), h1.clamp(max=60)
        return (h1 - torch.log(torch.exp(h1 - h0) - 1 + (0.0 if ill else 1e-4))).mean()

    net = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 2))
    return fit(net, Batches((x, t), 64, seed), loss, rate=1e-3)


def flat_windows(seed: int, ill: bool) -> Training:
    """Each window is put to mean 0 and deviation 1; a shop that was closed sold the same every week."""
    x, y = data.demand(seed).tensors
    closed = torch.rand(len(x), 1, generator=dice(seed)) < 0.01
    x, y = torch.where(closed, 0.0, x), torch.where(closed, 0.0, y)

    class Windowed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(36, 32), nn.GELU(), nn.Linear(32, 6))

        def forward(self, x: Tensor) -> Any:
            mean, std = x.mean(1, keepdim=True), x.std(1, keepdim=True)
            return self.net((x - mean) / (std if ill else std + 1e-5)) * std + mean

    return fit(Windowed(), Batches((x, y), 32, seed), mse)


def empty_texts(seed: int, ill: bool) -> Training:
    """A cosine by hand; some questions are empty, and all their words are padding."""
    q, a = data.questions(seed).tensors
    q = torch.where(torch.rand(len(q), 1, generator=dice(seed)) < 0.01, torch.zeros_like(q), q)
    emb = nn.Embedding(80, 24, padding_idx=0)

    def loss(m: nn.Module, b: Any) -> Any:
        u, v = m(b[0]).sum(1), m(b[1]).sum(1)
        u = u / (u.square().sum(1, keepdim=True).sqrt() if ill else u.square().sum(1, keepdim=True).add(1e-8).sqrt())
        v = F.normalize(v, dim=1)
        return F.cross_entropy(8 * u @ v.T, torch.arange(len(u)))

    return fit(emb, Batches((q, a), 32, seed), loss, rate=2e-2)


def gaussian_boxes(seed: int, ill: bool) -> Training:
    """The root of a distance between boxes that are the same: github.com/open-mmlab/mmrotate/issues/205"""
    x, box = data.boxes(seed).tensors
    box = (box * 4).round() / 4

    def loss(m: nn.Module, b: Any) -> Any:
        out = torch.sigmoid(m(b[0]))
        out = torch.where(
            torch.rand(len(out), 1) < 0.1, b[1] + 0 * out, out
        )  # matched by hand, as denoising queries are
        d = (out - b[1]).square().sum(1)
        return (d.sqrt() if ill else d.clamp(min=1e-7).sqrt()).mean()

    return fit(box_net(4), Batches((x, box), 32, seed), loss)


def survival(seed: int, ill: bool) -> Training:
    """log1p(-p) of a p that is one; the value after it is finite: github.com/fastino-ai/GLiNER2/pull/155"""
    x, y = data.activity(seed).tensors
    net = nn.Sequential(nn.Flatten(), nn.Linear(288, 32), nn.ReLU(), nn.Linear(32, 8))

    def loss(m: nn.Module, b: Any) -> Any:
        p = torch.sigmoid(80 * m(b[0]).view(-1, 4, 2))
        log_none = torch.log1p(-(p if ill else p.clamp(max=1 - 1e-6))).sum(2)
        any_ = (1 - log_none.exp()).clamp(1e-4, 1 - 1e-4)
        y = F.one_hot(b[1], 4)
        return -(y * any_.log() + (1 - y) * (1 - any_).log()).mean()

    return fit(net, Batches((x, y), 32, seed), loss, rate=2e-3)


def clamped_after(seed: int, ill: bool) -> Training:
    """exp, then clamp: the value is finite, its slope is zero times infinity. github.com/megvii-model/YOLOF/issues/51"""
    top = 1e8

    def loss(m: nn.Module, b: Any) -> Any:
        out = 60 * m(b[0])
        cls, obj = out[:, :1], out[:, 1:]
        if ill:
            both = 1.0 + cls.exp().clamp(max=top) + obj.exp().clamp(max=top)
        else:
            both = 1.0 + cls.clamp(max=18.4).exp() + obj.clamp(max=18.4).exp()
        score = cls + obj - torch.log(both)
        return F.binary_cross_entropy_with_logits(score / 20, b[1])

    return fit(conv_net(2), data.masks(seed), loss, rate=3e-2)


def at_rest(seed: int, ill: bool) -> Training:
    """The speed of a body that does not move: torch.hypot of nothing and nothing."""
    (path,) = data.orbits(seed).tensors
    path = torch.where(torch.rand(len(path), 1, 1, generator=dice(seed)) < 0.02, path[:, :1], path)
    net = nn.Linear(2, 2, bias=False)

    def loss(m: nn.Module, b: Any) -> Any:
        step = (m(b[0][:, 1:]) - m(b[0][:, :-1])) + (0.0 if ill else 1e-6)
        return (torch.hypot(step[..., 0], step[..., 1]) - 0.6).square().mean()

    return fit(net, Batches((path,), 32, seed), loss, rate=1e-2)


def silent_channels(seed: int, ill: bool) -> Training:
    """Generalised mean pooling without a smallest value: a channel that is silent all over the picture has no slope."""

    class GeM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 32, 5, 2)
            self.p, self.fc = nn.Parameter(torch.tensor(3.0)), nn.Linear(32, 3)

        def forward(self, x: Tensor) -> Any:
            h = F.relu(self.conv(x - 0.2))
            h = h if ill else h.clamp(min=1e-6)
            return self.fc(h.pow(self.p).mean((2, 3)).pow(1 / self.p))

    return fit(GeM(), data.scenes(seed), lambda m, b: F.cross_entropy(m(b[0]), b[1]), rate=1e-2)


def raw_graph(seed: int, ill: bool) -> Training:
    """exp of a log deviation that nobody bounds, of counts: github.com/pyg-team/pytorch_geometric/issues/500"""
    batches = [(x * (5000.0 if ill else 1.0), a, y) for x, a, y in data.citations(seed)]
    return cook(GRAPHS["vgae"], seed, data=lambda s: batches)


class TableVAE(nn.Module):
    """A variational autoencoder of rows; returns the loss."""

    def __init__(self, bounded: bool) -> None:
        super().__init__()
        self.enc, self.dec = nn.Sequential(nn.Linear(5, 32), nn.LeakyReLU(), nn.Linear(32, 6)), nn.Linear(3, 5)
        self.bounded = bounded

    def forward(self, x: Tensor, c: Tensor, y: Tensor) -> Any:
        mu, logvar = self.enc(x).chunk(2, 1)
        logvar = logvar.clamp(-30, 20) if self.bounded else logvar
        rec = self.dec(mu + torch.randn_like(mu) * (0.5 * logvar).exp())
        scale = x.std(0) + 1
        return ((rec - x) / scale).square().mean() + 1e-3 * (mu.square() + logvar.exp() - 1 - logvar).mean()


def rows(seed: int, ill: bool) -> Training:
    """github.com/vanderschaarlab/synthcity/issues/331"""
    return fit(TableVAE(not ill), data.adult(seed, raw=ill), own, rate=1e-3)


def sure_boxes(seed: int, ill: bool) -> Training:
    """exp(-alpha) of a learned log variance far below zero: github.com/ethanhe42/KL-Loss/issues/4"""

    def loss(m: nn.Module, b: Any) -> Any:
        out = m(b[0])
        alpha = 90 * out[:, 4:] - 40
        alpha = alpha if ill else alpha.clamp(-1.5, 1.5)
        return (torch.exp(-2.5 * alpha) * (out[:, :4] - b[1]).abs() + alpha / 2).mean() + 3

    return fit(box_net(8), data.boxes(seed), loss, rate=1e-2)


def crossed(seed: int, ill: bool) -> Training:
    """Nine crosses of raw columns: a hundred thousand to the power of ten."""
    return cook(
        TABLES["cross-network"],
        seed,
        net=partial(CrossNetwork, 9 if ill else 2),
        data=partial(data.adult, raw=ill),
        loss=bce,
    )


CASES = [
    ill("empty-mask", "nan-forward", "restoration", masked_mean, 30),
    ill("all-ignored", "nan-forward", "text", ignored, 120),
    ill("no-targets", "nan-forward", "detection", no_targets, 60),
    ill("apart-boxes", "nan-forward", "detection", overlap, 30, "overflow-forward"),
    ill("same-hazards", "nan-forward", "survival", lifetime, 60, "overflow-forward"),
    ill("closed-shops", "nan-forward", "forecasting", flat_windows, 60),
    ill("empty-texts", "nan-forward", "retrieval", empty_texts, 60),
    ill("same-boxes", "nan-backward", "detection", gaussian_boxes, 30),
    ill("sure-of-one", "nan-backward", "convolutional", survival, 80),
    ill("clamped-after-exp", "nan-backward", "detection", clamped_after, 60, "overflow-forward"),
    ill("body-at-rest", "nan-backward", "dynamics", at_rest, 60),
    ill("silent-channels", "nan-backward", "convolutional", silent_channels, 60),
    ill("graph-of-counts", "overflow-forward", "graph nets", raw_graph, 30, "unscaled-inputs nan-forward"),
    ill("raw-rows", "overflow-forward", "autoencoders", rows, 30, "unscaled-inputs nan-forward"),
    ill("too-sure", "overflow-forward", "detection", sure_boxes, 30),
    ill("nine-crosses", "overflow-forward", "tables", crossed, 30, "unscaled-inputs exploding-depth nan-forward"),
]  # fmt: skip
