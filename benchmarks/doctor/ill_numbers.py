"""Ill in numbers: NaN in forward or backward, overflow, what float16 cannot hold."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Batches, Case, Training, ill, optimizer_of, training
from benchmarks.doctor.losses import classify, regress
from benchmarks.doctor.nets import Attends, Coder, cnn, mlp, resmlp

grey = partial(data.pictures, side=8, channels=1, size=32)
HALF = torch.float16


class Then(nn.Module):
    """A body, a formula that can break, a head."""

    def __init__(self, body: nn.Module, formula: Any, head: nn.Module) -> None:
        super().__init__()
        self.body, self.formula, self.head = body, formula, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.formula(self.body(x)))


class Pools(nn.Module):
    """Attention with padding; a sentence of padding alone divides zero by zero."""

    def __init__(self, guard: bool) -> None:
        super().__init__()
        self.guard, self.embed = guard, nn.Embedding(30, 16)
        self.attention, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        padding = x == 0
        if self.guard:
            padding = padding & ~padding.all(1, keepdim=True)
        h = self.embed(x)
        h, _ = self.attention(h, h, h, key_padding_mask=padding, need_weights=True)
        return self.head(h.mean(1))


def mean_of_kept(x: Tensor, guard: bool) -> Tensor:
    """Mean over positive features: 0 / 0 for a sample that has none."""
    kept = (x > 0.6).float()
    return (x * kept).sum(1, keepdim=True) / (kept.sum(1, keepdim=True) + (1e-6 if guard else 0.0)) + x


def nan_forward(seed: int, ill: bool, kind: str) -> Training:
    """log 0, root of a negative, 0 / 0, arccos beyond 1, a row that is masked whole. Cured: a guard."""
    if kind == "masked-row":
        x, y = data.tokens(seed).tensors
        x = x.clone()
        x[:, 9:] = 0
        x[37] = 0
        return training(Pools(not ill), Batches((x, y), 32, seed), classify, "adam", 1e-3)
    if kind in ("log", "root"):
        body = mlp(64, 32, 48, 2)
        formula = {
            "log": lambda h: torch.log(F.relu(h) + (0.0 if ill else 1e-2)) * 0.1,
            "root": lambda h: torch.sqrt(h if ill else F.relu(h) + 1e-3),
        }[kind]
        return training(Then(body, formula, nn.Linear(32, 10)), data.digits(seed), classify, "adam", 1e-3)
    if kind == "empty-mean":
        return training(
            Then(mlp(64, 32, 48, 2), lambda h: mean_of_kept(h, not ill), nn.Linear(32, 10)),
            data.digits(seed),
            classify,
            "adam",
            1e-3,
        )
    if kind == "arccos":

        def angle(h: Tensor) -> Tensor:
            unit = 1.05 * F.normalize(h, dim=1)
            return torch.acos(unit if ill else unit.clamp(-0.99, 0.99))

        return training(Then(mlp(8, 2, 32, 2), angle, nn.Linear(2, 1)), data.teacher(seed), regress, "adam", 3e-3)
    if kind == "standardise":  # a constant column divided by its deviation
        x, y = data.table(seed).tensors
        x = x.clone()
        x[:, 4] = 3.0

        def own(h: Tensor) -> Tensor:
            return (h - h.mean(0)) / (h.std(0) + (0.0 if ill else 1e-6))

        return training(Then(nn.Identity(), own, mlp(12, 2, 32, 2)), Batches((x, y), 64, seed), classify, "adam", 3e-3)
    model = Coder(noisy=True)  # "kl": the logarithm of a variance that is below zero

    def loss(net: Any, batch: Any) -> Tensor:
        mean, spread = net.encoder(batch[0]).chunk(2, 1)
        spread = spread if ill else F.softplus(spread) + 1e-4
        out = net.decoder(mean + torch.randn_like(mean) * spread)
        return F.mse_loss(out, batch[0]) + 0.01 * (mean**2 + spread**2 - 2 * spread.log()).mean()

    return training(model, data.digits(seed), loss, "adam", 3e-3)


def twins(seed: int, size: int = 64) -> Batches:
    """Return points (B, 8) some of which come twice, with a target."""
    x, y = data.teacher(seed).tensors
    x = x.clone()
    x[::9] = 0.0
    return Batches((x, y), size, seed)


def nan_backward(seed: int, ill: bool, kind: str) -> Training:
    """The value is finite, its derivative is not: roots and norms at zero, `where` over a branch that breaks."""
    small = 0.0 if ill else 1e-8
    if kind in ("root-at-zero", "power"):
        power = 0.5 if kind == "root-at-zero" else 0.3
        net = Then(
            nn.Linear(8, 24, bias=False), lambda h: (h.abs() + (0.0 if ill else 1e-3)).pow(power), mlp(24, 1, 32, 1)
        )
        return training(net, twins(seed), regress, "adam", 3e-3)
    if kind == "norm-at-zero":

        def unbiased(h: Tensor) -> Tensor:
            return (h.square().sum(1, keepdim=True) + small).sqrt() + h

        first = nn.Linear(8, 16, bias=False)
        return training(Then(first, unbiased, mlp(16, 1, 32, 1)), twins(seed), regress, "adam", 3e-3)
    if kind == "distance":  # the distance of a sample to itself

        def loss(net: nn.Module, batch: Any) -> Tensor:
            z = net(batch[0])
            apart = ((z[:, None] - z[None]).square().sum(-1) + small).sqrt()
            equal = batch[1][:, None] == batch[1][None]
            return apart[equal].mean() + F.relu(2 - apart[~equal]).mean()

        return training(mlp(64, 8, 48, 2), data.digits(seed, 32), loss, "adam", 1e-3)
    if kind == "where":

        def safe(h: Tensor) -> Tensor:
            inner = h.abs() if ill else torch.where(h == 0, torch.ones_like(h), h.abs())
            return torch.where(h == 0, torch.zeros_like(h), torch.log(inner)).clamp(-3, 3)

        return training(Then(nn.Linear(8, 24, bias=False), safe, mlp(24, 1, 32, 1)), twins(seed), regress, "adam", 3e-3)
    if kind == "deviation":

        def spread(h: Tensor) -> Tensor:
            return h + (h.var(1, keepdim=True) + small).sqrt()

        return training(
            Then(nn.Linear(8, 16, bias=False), spread, mlp(16, 1, 32, 1)), twins(seed), regress, "adam", 3e-3
        )
    return blank(seed, small)


def blank(seed: int, small: float) -> Training:
    """Each picture divided by its contrast; some pictures are blank."""
    x, y = grey(seed).tensors
    x = x.clone()
    x[::20] = 0.0

    def contrast(h: Tensor) -> Tensor:
        return h / (h.square().mean((1, 2, 3), keepdim=True) + small).sqrt().clamp(min=0.1)

    net = Then(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), contrast, nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(512, 4))
    )
    return training(net, Batches((x, y), 32, seed), classify, "adam", 3e-3)


def overflows(seed: int, ill: bool, kind: str) -> Training:
    """A float32 that is too large: exp, powers, products, sums. Cured: what keeps it in range."""
    if kind == "exp":
        net = Then(mlp(8, 16, 32, 2), lambda h: torch.exp(40 * h + 60 if ill else h.clamp(max=3)), nn.Linear(16, 1))
        return training(net, data.teacher(seed), regress, "adam", 3e-3)
    if kind == "softmax-by-hand":

        def weigh(h: Tensor) -> Tensor:
            h = 400 * h
            e = (h if ill else h - h.amax(1, keepdim=True)).exp()
            return e / e.sum(1, keepdim=True)

        return training(Then(mlp(64, 32, 48, 2), weigh, nn.Linear(32, 10)), data.digits(seed), classify, "adam", 1e-3)
    if kind == "power":
        net = Then(mlp(8, 16, 32, 2), lambda h: (5 + h) ** (60 if ill else 2), nn.Linear(16, 1))
        return training(net, data.teacher(seed), regress, "adam", 3e-3)
    if kind == "rate-of-poisson":

        def loss(net: nn.Module, batch: Any) -> Tensor:
            out = net(batch[0])
            return (out.exp() - batch[1].round().clamp(min=0) * out).mean()

        model = mlp(8, 1, 32, 2)
        if ill:
            nn.init.constant_(model[-1].bias, 95.0)
        return training(model, data.teacher(seed, scale=2.0, shift=3.0), loss, "adam", 5e-3)
    if kind == "cosh":
        net = Then(mlp(64, 32, 48, 2), lambda h: torch.cosh(90 + h if ill else h), nn.Linear(32, 10))
        return training(net, data.digits(seed), classify, "adam", 1e-3)

    def product(h: Tensor) -> Tensor:
        return (h.abs() * (1e6 if ill else 1.0) + 0.5).prod(1, keepdim=True) + h

    return training(Then(mlp(8, 10, 32, 1), product, nn.Linear(10, 1)), data.teacher(seed), regress, "adam", 1e-3)


class Half(nn.Module):
    """A body whose inside runs in float16 (or bfloat16, cured), between float32 ends; its activations are large."""

    def __init__(self, body: nn.Module, kind: torch.dtype, times: float, width: int, outputs: int) -> None:
        super().__init__()
        self.body, self.kind, self.times = body, kind, times
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.kind):
            h = self.body(x * self.times)
        return self.head(self.norm(h.float().flatten(1)))


def half_overflow(seed: int, ill: bool, kind: str) -> Training:
    """Above 65,504 in float16. Cured: bfloat16."""
    dtype = HALF if ill else torch.bfloat16
    if kind == "mlp":
        return training(Half(mlp(64, 32, 48, 2), dtype, 3e5, 32, 10), data.digits(seed), classify, "adam", 1e-3)
    if kind == "cnn":
        return training(
            Half(nn.Sequential(*cnn(norm=False)[:-1]), dtype, 4e5, 128, 4), grey(seed), classify, "adam", 3e-3
        )
    if kind == "wide-weights":
        body = mlp(12, 24, 64, 1)
        with torch.no_grad():
            body[0].weight.mul_(300)
            body[2].weight.mul_(2000)
        return training(Half(body, dtype, 1.0, 24, 2), data.table(seed), classify, "adam", 3e-3)
    if kind in ("coder", "sum"):
        body = (
            nn.Sequential(mlp(64, 16, 48, 1), nn.Linear(16, 32))
            if kind == "coder"
            else nn.Sequential(nn.Linear(64, 32), Sums())
        )
        return training(
            Half(body, dtype, 6e5 if kind == "coder" else 2e4, 32, 10), data.digits(seed), classify, "adam", 3e-3
        )
    if kind == "scores":

        class Scores(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                q = x[:, :32] * 40
                return (q @ (q.T * 20)).softmax(1) @ x[:, 32:64]

        body = nn.Sequential(nn.Linear(64, 64), Scores())
        return training(Half(body, dtype, 10.0, 32, 10), data.digits(seed), classify, "adam", 3e-3)
    body = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), Squares(), nn.Linear(64, 24))
    return training(Half(body, dtype, 400.0, 24, 1), data.teacher(seed), regress, "adam", 3e-3)


class Sums(nn.Module):
    """Running sums of squares over the features."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * x).to(x.dtype).cumsum(1, dtype=x.dtype)


class Squares(nn.Module):
    """x squared: an activation that grows fast."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


def half_underflow(seed: int, ill: bool, kind: str) -> Training:
    """Gradients below 6e-8 are zero in float16. Cured: the same net in float32 (or with a scaled loss)."""
    model: nn.Module = {"mlp": lambda: mlp(64, 10), "tanh": lambda: mlp(64, 10, act=nn.Tanh), "cnn": lambda: cnn(norm=False), "transformer": lambda: Attends(30, 2),
                        "regress": lambda: mlp(8, 1, 48, 2), "residual": lambda: resmlp(64, 10), "autocast": lambda: mlp(64, 10, 64, 4, nn.GELU)}[kind]()  # fmt: skip
    batches = {"cnn": grey, "transformer": data.tokens, "regress": data.teacher}.get(kind, data.digits)(seed)
    optimizer = optimizer_of("adam", model.parameters(), {"cnn": 3e-3, "regress": 5e-3}.get(kind, 1e-3))
    for group in optimizer.param_groups:
        group["eps"] = 1e-12

    def step(net: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        with torch.autocast("cpu", dtype=HALF if ill else torch.float32, enabled=ill):
            out = net(batch[0])
        value = F.mse_loss(out.float(), batch[1]) if kind == "regress" else F.cross_entropy(out.float(), batch[1])
        (1e-7 * value).backward()  # a small weight of this loss among others: float32 holds it
        stepper.step()
        return value

    return Training(model, batches, optimizer, train_step=step)


CASES: list[Case] = [
    *[ill(kind, "nan-forward", family, nan_forward, 20, kind=kind) for kind, family in (
        ("masked-row", "own transformers"), ("log", "dense"), ("root", "dense"), ("empty-mean", "dense"), ("arccos", "regression"), ("standardise", "dense"), ("kl", "autoencoders"))],
    *[ill(kind, "nan-backward", family, nan_backward, 20, kind=kind) for kind, family in (
        ("root-at-zero", "regression"), ("norm-at-zero", "regression"), ("distance", "metric learning"), ("where", "regression"), ("deviation", "regression"), ("power", "regression"), ("contrast", "convolutional"))],
    *[ill(kind, "overflow-forward", family, overflows, 20, kind=kind) for kind, family in (
        ("exp", "regression"), ("softmax-by-hand", "dense"), ("power", "regression"), ("rate-of-poisson", "regression"), ("cosh", "dense"), ("product", "regression"))],
    *[ill(kind, "precision-overflow", family, half_overflow, 20, kind=kind) for kind, family in (
        ("mlp", "dense"), ("cnn", "convolutional"), ("wide-weights", "dense"), ("scores", "own transformers"), ("squares", "regression"), ("coder", "dense"), ("sum", "dense"))],
    *[ill(kind, "precision-underflow", family, half_underflow, 60, kind=kind) for kind, family in (
        ("mlp", "dense"), ("tanh", "dense"), ("cnn", "convolutional"), ("transformer", "own transformers"), ("regress", "regression"), ("residual", "residual"), ("autocast", "dense"))],
]  # fmt: skip
