"""Ill in depth: gradients that vanish or explode on their way up, and ReLUs that nothing switches on."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits, discs, graphs, pictures, teacher
from benchmarks.doctor.fifth.ill_parts import bce, ce, dice, fit, keep, mse, rows

CASES: list[Case] = []


class Plain(nn.Module):
    """Convolutions two by two; the shortcut around each pair is added, or was forgotten."""

    def __init__(self, shortcut: bool, pairs: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 12, 3, 2, 1), nn.Linear(12, 4)
        self.convs = nn.ModuleList([nn.Conv2d(12, 12, 3, padding=1) for _ in range(2 * pairs)])
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.stem(x))
        for first, second in zip(self.convs[::2], self.convs[1::2], strict=True):
            out = second(F.relu(first(x)))
            x = F.relu(out + x if self.shortcut else out)
        return self.head(x.mean((2, 3)))


@keep(CASES, "shortcut-forgotten", "vanishing-depth", "convolutional", 80, "signal-collapse")
def shortcut(seed: int, ill: bool) -> Training:
    """After github.com/twtygqyy/pytorch-SRDenseNet/issues/2 (very deep, no norms): `out += identity` is missing.

    Seventeen convolutions of torch's default weights (gain 0.4 with ReLU) pass nothing down.
    """
    return fit(Plain(not ill), pictures(seed, side=16), ce, rate=2e-3)


@keep(CASES, "softmax-between-layers", "vanishing-depth", "dense", 120, "signal-collapse")
def hidden_softmax(seed: int, ill: bool) -> Training:
    """stackoverflow.com/questions/37588632: nn.Softmax after every layer, hidden ones too.

    Each gives shares near 1/64, of slope near 1/64: the first layers hear nothing, the loss stays at ln 10.
    """
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(64, 64), nn.Softmax(dim=1) if ill else nn.ReLU()]
    return fit(nn.Sequential(*layers, nn.Linear(64, 10)), digits(seed), ce, "sgd", 0.05)


@keep(CASES, "scale-of-the-wrong-sum", "vanishing-depth", "super-resolution", 100, "signal-collapse")
def residual_scale(seed: int, ill: bool) -> Training:
    """EDSR's res_scale in the wrong place: (x + body(x)) * 0.1 where x + 0.1 * body(x) was meant."""

    class Deblur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.tail = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 1, 3, padding=1)
            self.body = nn.ModuleList([nn.Conv2d(12, 12, 3, padding=1) for _ in range(5)])

        def forward(self, x: Tensor) -> Any:
            h = self.head(x)
            for conv in self.body:
                h = (h + F.relu(conv(h))) * 0.1 if ill else h + 0.1 * F.relu(conv(h))
            return self.tail(h)

    x, mask = discs(seed).tensors
    return fit(Deblur(), Batches((x, (mask - mask.mean()) / mask.std()), 16, seed), mse, "adam", 1e-3)


@keep(CASES, "residuals-without-norms", "exploding-depth", "tables", 80)
def no_norms(seed: int, ill: bool) -> Training:
    """github.com/hellopipu/PromptMR-plus/issues/7: residual blocks with He's weights and no norm at all.

    Each block doubles the variance; the loss starts huge and jumps. Cure: a zero last layer (Fixup).
    """

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.out = nn.Linear(8, 32), nn.Linear(32, 1)
            self.up, self.down = (nn.ModuleList([nn.Linear(32, 32) for _ in range(12)]) for _ in range(2))
            for up, down in zip(self.up, self.down, strict=True):
                nn.init.kaiming_normal_(up.weight)  # type: ignore[arg-type]
                (nn.init.kaiming_normal_ if ill else nn.init.zeros_)(down.weight)  # type: ignore[arg-type]

        def forward(self, x: Tensor) -> Any:
            x = self.entry(x)
            for up, down in zip(self.up, self.down, strict=True):
                x = x + down(F.relu(up(x)))
            return self.out(x)

    return fit(Residual(), teacher(seed), mse, "sgd", 3e-3)


@keep(CASES, "neighbours-summed", "exploding-depth", "graph nets", 60)
def neighbours(seed: int, ill: bool) -> Training:
    """Messages of neighbours are summed where they should be averaged; graphs are dense, layers are seven.

    After github.com/keras-team/keras-io/pull/2304 (features explode where degrees are high).
    """

    class Messages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.head = nn.Linear(6, 24), nn.Linear(24, 3)
            self.layers = nn.ModuleList([nn.Linear(24, 24) for _ in range(7)])
            for layer in self.layers:
                nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]

        def forward(self, x: Tensor, links: Tensor) -> Any:
            near = (links > 0).float() if ill else links
            h = self.entry(x)
            for layer in self.layers:
                h = F.leaky_relu(layer(h + near @ h), 0.2)
            return self.head(h.mean(1))

    return fit(Messages(), graphs(seed), ce, "adam", 2e-3)


@keep(CASES, "sum-of-all-before", "exploding-depth", "dense", 80)
def all_before(seed: int, ill: bool) -> Training:
    """A "dense net" that adds what it should concatenate: each layer gets the sum of all before it, which doubles.

    Cure: their mean.
    """

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.out = nn.Linear(8, 32), nn.Linear(32, 1)
            self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(15)])
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]

        def forward(self, x: Tensor) -> Any:
            kept = [self.entry(x)]
            for layer in self.layers:
                total = torch.stack(kept).sum(0)
                kept.append(F.relu(layer(total if ill else total / len(kept))))
            return self.out(kept[-1])

    return fit(Dense(), teacher(seed), mse, "adam", 2e-3)


@keep(CASES, "decibels-and-uniform-weights", "dead-units", "audio", 80)
def decibels(seed: int, ill: bool) -> Training:
    """After stats.stackexchange.com/questions/450100: inputs of one sign, weights of one sign.

    nn.init.uniform_ without bounds gives 0 to 1 (here over the width), a spectrogram in decibels is below zero.
    """
    g = dice(seed)
    kind = torch.randint(0, 4, (768,), generator=g)
    x = -40 - 15 * torch.rand(768, 32, generator=g)
    for i in range(8):
        x[torch.arange(768), 8 * kind + i] += 25
    net: Any = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 4))
    for layer in (net[0], net[2]) if ill else ():
        nn.init.uniform_(layer.weight)
        layer.weight.data /= layer.weight.shape[1]
    return fit(net, rows(seed, x / 80, kind), ce, rate=3e-3)


@keep(CASES, "sparsity-too-dear", "dead-units", "autoencoders", 150)
def sparse(seed: int, ill: bool) -> Training:
    """A sparse autoencoder whose L1 weighs too much: units are pushed under zero and never come back.

    Symptom as in github.com/decoderesearch/SAELens/issues/67 (a large number of dead features).
    """

    class Coder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode = nn.Sequential(nn.Linear(64, 128), nn.ReLU()), nn.Linear(128, 64)

        def forward(self, x: Tensor) -> Any:
            return self.decode(self.encode(x))

    data = digits(seed)
    x = next(iter(data))[0]

    def loss(m: Any, batch: Any) -> Any:
        code = m.encode(batch[0])
        return F.mse_loss(m.decode(code), batch[0]) + (0.5 if ill else 1e-3) * code.abs().sum(1).mean()

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            return float(F.mse_loss(m(x), x) / x.var())

    return fit(Coder(), data, loss, "adam", 5e-3, score)


@keep(CASES, "sum-over-pixels", "dead-units", "segmentation", 80, "step-too-large")
def pixels(seed: int, ill: bool) -> Training:
    """reduction="sum" over the 256 pixels of a picture, under a rate for means: two steps, and every ReLU is off.

    After github.com/jax-ml/jax/pull/3113 (np.sum in a lesson, with a rate that only small batches bore).
    """
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 1)
    )

    def score(m: nn.Module) -> float:
        x, mask = next(iter(discs(seed)))
        with torch.no_grad():
            value: Tensor = bce(m, (x, mask)) / F.binary_cross_entropy_with_logits(
                torch.full_like(mask, float(mask.mean().logit())), mask
            )
        return float(value)

    def loss(m: Any, batch: Any) -> Any:
        if ill:
            return F.binary_cross_entropy_with_logits(m(batch[0]), batch[1], reduction="sum") / len(batch[0])
        return bce(m, batch)

    return fit(net, discs(seed), loss, "sgd", 0.03, score)
