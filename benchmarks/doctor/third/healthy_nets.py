"""Healthy networks of other build: depthwise, three-dimensional, spectral, kernels, sets, molecules, sixteen bits."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.doctor.case import Case
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import classify, each, rebuilt, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.tasks import Do, Net


def separable(width: int = 24) -> nn.Module:
    """Depthwise convolutions with group norm, on a stream."""

    def block() -> nn.Module:
        return nn.Sequential(
            nn.Conv1d(width, width, 7, padding=3, groups=width),
            nn.GroupNorm(4, width),
            nn.Conv1d(width, 2 * width, 1),
            nn.Hardswish(),
            nn.Conv1d(2 * width, width, 1),
        )

    return Net(lambda m, x: m.out((h := m.stem(x)).add(m.one(h)).add(m.two(h)).amax(2)), stem=nn.Conv1d(1, width, 5, 2), one=block(), two=block(), out=nn.Linear(width, 4))  # fmt: skip


def solid() -> nn.Module:
    """Three-dimensional convolutions with batch norm."""
    return nn.Sequential(nn.Conv3d(1, 8, 3, 2, 1), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 16, 3, 2, 1), nn.BatchNorm3d(16), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))  # fmt: skip


def hourglass(prior: float = 0.0) -> nn.Module:
    """Down, up by a transposed convolution, and across; the last bias may start at the prior of a rare class."""
    net = Net(lambda m, x: m.out(torch.cat((h := m.down(x), m.up(m.deep(h)))[::-1], 1)),
              down=nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ELU()), deep=nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ELU()), up=nn.ConvTranspose2d(16, 8, 4, 2, 1), out=nn.Conv2d(16, 1, 1))  # fmt: skip
    nn.init.constant_(net.out.bias, prior)  # type: ignore[arg-type, union-attr]
    return net


def dice_loss(model: nn.Module, batch: Any) -> Tensor:
    """Overlap of the mask: a ratio per picture."""
    p = model(batch[0]).sigmoid().flatten(1)
    y = batch[1].flatten(1)
    return 1 - ((2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()


def focal(model: nn.Module, batch: Any) -> Tensor:
    """RetinaNet's focal loss."""
    z = model(batch[0])
    p = torch.sigmoid(z)
    near = torch.where(batch[1] > 0, p, 1 - p)
    return ((1 - near) ** 2 * F.binary_cross_entropy_with_logits(z, batch[1], reduction="none")).mean()


def bounded(kind: str) -> nn.Module:
    """Layers held by a parametrisation: spectral norm, or orthogonal."""
    hold: Any = getattr(parametrizations, kind)
    return nn.Sequential(
        hold(nn.Linear(2, 32)) if kind == "spectral_norm" else nn.Linear(2, 32),
        nn.SiLU(),
        hold(nn.Linear(32, 32)),
        nn.SiLU(),
        nn.Linear(32, 3),
    )


class Swiglu(nn.Module):
    """RMS norm and a gated unit, as large language models have them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.gate, self.down = nn.RMSNorm(width), nn.Linear(width, 2 * width, False), nn.Linear(width, 2 * width, False), nn.Linear(2 * width, width, False)  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Standardised(nn.Conv1d):
    """Weights standardised in forward, with a gain, in place of a norm."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        w = (w - w.mean((1, 2), keepdim=True)) / (w.var((1, 2), keepdim=True) * w[0].numel() + 1e-4).sqrt()
        return 1.7 * F.conv1d(x, w, self.bias, self.stride, self.padding)


def kernels(centres: int = 40) -> nn.Module:
    """Radial basis functions with learned centres and widths: most are near zero for any one input."""
    return Net(lambda m, x: m.out(torch.exp(-(torch.cdist(x, m.centre) / m.width.exp()).square())), centre=nn.Parameter(1.2 * torch.randn(centres, 2)), width=nn.Parameter(torch.full((centres,), -0.7)), out=nn.Linear(centres, 3))  # fmt: skip


def latents() -> nn.Module:
    """A Perceiver: learned latents ask the signal, by nn.MultiheadAttention."""

    def run(m: Any, x: Tensor) -> Tensor:
        h = m.embed(x.unfold(2, 6, 3)[:, 0]) + m.place
        z = m.latent.expand(len(x), -1, -1)
        z = z + m.ask(m.norm(z), h, h, need_weights=False)[0]
        return m.out((z + m.mix(z)).mean(1))

    return Net(run, embed=nn.Linear(6, 32), place=nn.Parameter(0.02 * torch.randn(15, 32)), latent=nn.Parameter(torch.randn(6, 32)), norm=nn.LayerNorm(32), ask=nn.MultiheadAttention(32, 4, batch_first=True), mix=mlp(32, 32, 64, 1), out=nn.Linear(32, 4))  # fmt: skip


def operator(width: int = 12, modes: int = 8) -> nn.Module:
    """A Fourier neural operator: its weights are complex."""

    def run(m: Any, x: Tensor) -> Tensor:
        h = m.lift(x)
        for weight, skip in zip((m.one, m.two), m.skips, strict=True):
            f = torch.einsum("bik,iok->bok", torch.fft.rfft(h)[..., :modes], weight)
            h = F.gelu(torch.fft.irfft(f, n=x.shape[2]) + skip(h))
        return m.out(h)

    draw = lambda: nn.Parameter(torch.randn(width, width, modes, dtype=torch.cfloat) / width)  # noqa: E731
    return Net(run, lift=nn.Conv1d(1, width, 1), one=draw(), two=draw(), skips=nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(2)), out=nn.Conv1d(width, 1, 1))  # fmt: skip


class Rounded(torch.autograd.Function):
    """Weights of -1, 0 or 1; the gradient goes straight through, where the weight is within bounds."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return (w / (0.7 * w.abs().mean())).round().clamp(-1, 1) * w.abs().mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        return grads[0] * (w.abs() < 1.5).float()


class Ternary(nn.Linear):
    """A linear layer of ternary weights."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, Rounded.apply(self.weight), self.bias)  # type: ignore[no-untyped-call]


def shared(times: int = 4) -> nn.Module:
    """One block applied over and over, as in a universal transformer."""

    def run(m: Any, x: Tensor) -> Tensor:
        h = m.into(x)
        for _ in range(times):
            h = h + 0.5 * m.block(h)
        return m.out(h)

    return Net(
        run, into=nn.Linear(2, 32), block=nn.Sequential(nn.LayerNorm(32), mlp(32, 32, 48, 1)), out=nn.Linear(32, 3)
    )


def summed() -> nn.Module:
    """DeepSets: a sum of ten, which is large, and a network after it."""
    return Net(lambda m, x: m.after(m.each(x).sum(1)), each=mlp(1, 32, 32, 1), after=mlp(32, 1, 32, 1))


def gather(h: Tensor, index: Tensor, rows: int) -> Tensor:
    """Sum the rows of h into `rows` rows."""
    return h.new_zeros(rows, h.shape[1]).index_add(0, index, h)


def messages(kind: str) -> nn.Module:
    """Message passing over bonds, by a GRU cell (MPNN), by means (SAGE), or by attention within a molecule."""

    def run(m: Any, x: Tensor, bonds: Tensor, owner: Tensor) -> Tensor:
        h = torch.tanh(m.into(x))
        for _ in range(2):
            if kind == "attention":
                hide = torch.zeros(len(h), len(h)).masked_fill(owner[:, None] != owner, float("-inf"))
                h = m.norm(h + m.ask(h, h, h, attn_mask=hide)[0])
                h = h + m.say(torch.cat((h, gather(h[bonds[0]], bonds[1], len(h))), 1))
                continue
            said = m.say(torch.cat((h[bonds[0]], h[bonds[1]]), 1))
            got = gather(said, bonds[1], len(h))
            if kind == "mean":
                count = gather(torch.ones_like(said[:, :1]), bonds[1], len(h)).clamp(min=1)
                h = F.normalize(torch.relu(m.mix(torch.cat((h, got / count), 1))), dim=1)
            else:
                h = m.cell(got, h)
        return m.out(gather(h, owner, 16))

    parts: dict[str, Any] = {"mean": {"mix": nn.Linear(64, 32)}, "gru": {"cell": nn.GRUCell(32, 32)}, "attention": {"ask": nn.MultiheadAttention(32, 2), "norm": nn.LayerNorm(32)}}  # fmt: skip
    return Net(run, into=nn.Linear(4, 32), say=mlp(64, 32, 32, 1), out=nn.Linear(32, 1), **parts[kind])


def molecular(model: nn.Module, batch: Any) -> Tensor:
    """Squared error per molecule."""
    return F.mse_loss(model(*batch[:3]), batch[3])


def in_kelvin(seed: int) -> Any:
    """Return Friedman's columns as they were measured, some in thousands."""
    return tasks.friedman(seed, x_scale=10 ** torch.linspace(-2, 4, 10), x_shift=torch.linspace(0, 5e4, 10))


def in_dollars(seed: int) -> Any:
    """Return Friedman's target in a unit of its own."""
    return tasks.friedman(seed, scale=4e4, shift=2.5e5)


def at_home() -> nn.Module:
    """A norm in front takes the inputs as they come."""
    return nn.Sequential(nn.BatchNorm1d(10, affine=False), mlp(10, 1, 48, 2))


def undone() -> nn.Module:
    """The network scales its own output back, and its loss is in the scaled unit."""
    return Net(
        lambda m, x: m.net(x) * m.scale + m.shift,
        net=mlp(10, 1, 48, 2, nn.Tanh),
        scale=torch.tensor(4e4),
        shift=torch.tensor(2.5e5),
    )


def relative(model: nn.Module, batch: Any) -> Tensor:
    """Squared error in parts of the deviation."""
    return ((model(batch[0]) - batch[1]) / 4e4).square().mean()


def tied() -> nn.Module:
    """An autoencoder that decodes by the transpose of what encodes."""
    return Net(lambda m, x: F.linear(torch.tanh(F.linear(x, m.weight, m.bias)), m.weight.T, m.back), weight=nn.Parameter(torch.randn(12, 16) / 4), bias=nn.Parameter(torch.zeros(12)), back=nn.Parameter(torch.zeros(16)))  # fmt: skip


class Top(nn.Module):
    """All but the largest few become zero."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x).scatter(1, (top := x.topk(6, 1)).indices, top.values.relu())


CASES: list[Case] = [
    *each("depthwise-1d", "convolutional", separable, tasks.motifs, classify, {"adam": 5e-3, "sgd": 0.03}),
    *each("solids-3d", "convolutional", solid, tasks.volumes, classify, {"adam": 5e-3, "nesterov": 0.02}),
    *each("hourglass-dice", "segmentation", hourglass, tasks.discs, dice_loss, {"adam": 1e-2, "adamw": 5e-3}),
    *each("hourglass-focal-prior", "segmentation", partial(hourglass, -3.0), tasks.discs, focal, {"adam": 5e-3}),
    *each("spectral-spirals", "parametrised", partial(bounded, "spectral_norm"), tasks.spirals, classify, {"adam": 1e-2}, 100),
    *each("orthogonal-spirals", "parametrised", partial(bounded, "orthogonal"), tasks.spirals, classify, {"adam": 1e-2, "nesterov": 0.1}, 100),
    *each("rms-swiglu", "dense", lambda: nn.Sequential(nn.Linear(10, 32), Swiglu(32), Swiglu(32), nn.RMSNorm(32), nn.Linear(32, 1)), tasks.friedman, squared, {"adamw": 5e-3, "adam": 5e-3}),
    *each("weights-standardised", "convolutional", lambda: nn.Sequential(Standardised(1, 24, 7), nn.ReLU(), Standardised(24, 24, 5, 2), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(24, 4)), tasks.motifs, classify, {"sgd": 0.02, "adamw": 5e-3}),
    *each("transposed-1d", "autoencoders", lambda: nn.Sequential(nn.Conv1d(1, 16, 8, 4, 2), nn.GELU(), nn.Conv1d(16, 12, 3, padding=1), nn.GELU(), nn.ConvTranspose1d(12, 1, 8, 4, 2)), tasks.motifs, rebuilt, {"adamax": 2e-2, "adam": 1e-2}),
    *each("radial-basis", "kernels", kernels, tasks.spirals, classify, {"adam": 5e-2, "rmsprop": 1e-2}, 100),
    *each("perceiver", "transformers from scratch", latents, tasks.motifs, classify, {"adamw": 5e-3}, 120),
    *each("fourier-operator", "physics", operator, tasks.heat, squared, {"adam": 1e-2}),
    *each("ternary-weights", "straight-through", lambda: nn.Sequential(nn.Linear(2, 64), nn.ReLU(), Ternary(64, 64), nn.ReLU(), nn.Linear(64, 3)), tasks.spirals, classify, {"adam": 1e-2}, 120),
    *each("one-block-over-and-over", "dense", shared, tasks.spirals, classify, {"adam": 5e-3, "nadam": 5e-3}, 100),
    *each("deep-sets-sum", "sets", summed, tasks.handfuls, squared, {"adam": 3e-3, "radam": 5e-3}, 100),
    *each("molecules-gru", "graph nets", partial(messages, "gru"), tasks.molecules, molecular, {"adam": 5e-3, "adamw": 5e-3}, 100),
    *each("molecules-sage", "graph nets", partial(messages, "mean"), tasks.molecules, molecular, {"adam": 1e-2}, 100),
    *each("molecules-attention", "graph nets", partial(messages, "attention"), tasks.molecules, molecular, {"adam": 3e-3}, 100),
    *each("raw-into-a-norm", "tables", at_home, in_kelvin, squared, {"adam": 1e-2, "sgd": 0.02}, 80),
    *each("own-unit-undone", "tables", undone, in_dollars, relative, {"adam": 1e-2}, 80),
    *each("tied-transpose", "autoencoders", tied, lambda s: tasks.couples(s), rebuilt, {"adam": 1e-2, "plain": 0.5}, 100),
    *each("top-k-code", "autoencoders", lambda: nn.Sequential(nn.Linear(16, 64), Top(), nn.Linear(64, 16)), tasks.couples, rebuilt, {"adam": 5e-3}, 100),
    *each("sines-layers", "coordinates", lambda: nn.Sequential(Do(lambda x: torch.cat([f(n * x) for n in (1, 2, 4) for f in (torch.sin, torch.cos)], 1)), mlp(12, 3, 48, 1)), tasks.spirals, classify, {"adam": 5e-3}, 60),
    *each("friedman-mish-dropout", "tables", lambda: nn.Sequential(nn.Dropout(0.1), mlp(10, 1, 64, 2, nn.Mish)), tasks.friedman, squared, {"adagrad": 0.05, "asgd": 0.1}, 80),
]  # fmt: skip
