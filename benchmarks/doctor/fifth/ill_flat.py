"""Ill where things are flat or alike: units and outputs at their bounds, signals that collapse, twins."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, pictures, teacher, waves
from benchmarks.doctor.fifth.ill_parts import ce, copies, dice, fit, keep, mlp, mse, rows

CASES: list[Case] = []


@keep(CASES, "weights-by-randn", "saturated-units", "dense", 60)
def by_randn(seed: int, ill: bool) -> Training:
    """github.com/karpathy/nn-zero-to-hero/issues/66: W = torch.randn(...) before each tanh, as a first lesson has it.

    Sums of 64 such products have deviation 7: most of tanh is at its bounds. Cure: 5/3 over the root.
    """
    net: Any = mlp(8, 64, 64, 64, 64, 64, 1, act=nn.Tanh)
    for layer in net[:10:2]:
        nn.init.normal_(layer.weight, 0, 1.0 if ill else 5 / 3 / layer.in_features**0.5)
    return fit(net, teacher(seed), mse, "sgd", 0.01)


@keep(CASES, "steep-from-the-start", "saturated-units", "tables", 120)
def steep(seed: int, ill: bool) -> Training:
    """Gates that choose features, by sigmoid(100 * s): steep, "so that they end at 0 or 1", from the first step on.

    They are at 0 or 1 before anything was learned, and stay. Cure: start with 1, and steepen later.
    """

    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.s, self.gate, self.net = nn.Parameter(torch.randn(8) - 0.5), nn.Sigmoid(), mlp(8, 32, 1)

        def forward(self, x: Tensor) -> Any:
            return self.net(x * self.gate((100.0 if ill else 1.0) * self.s))

    return fit(Chosen(), teacher(seed), mse, "adam", 5e-3)


@keep(CASES, "carry-bias-of-minus-ten", "saturated-units", "dense", 120)
def highway(seed: int, ill: bool) -> Training:
    """Highway layers; the paper says "a negative bias, e.g. -1 or -3", and -10 was taken: no gate ever opens."""

    class Highway(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.out = nn.Linear(8, 24), nn.Linear(24, 1)
            self.plain = nn.ModuleList([nn.Linear(24, 24) for _ in range(3)])
            self.gates = nn.ModuleList([nn.Sequential(nn.Linear(24, 24), nn.Sigmoid()) for _ in range(3)])
            for gate in self.gates:
                nn.init.constant_(gate[0].bias, -10.0 if ill else -1.0)  # type: ignore[index]

        def forward(self, x: Tensor) -> Any:
            h = self.entry(x)
            for plain, gate in zip(self.plain, self.gates, strict=True):
                t = gate(h)
                h = t * F.relu(plain(h)) + (1 - t) * h
            return self.out(h)

    x = torch.randn(768, 8, generator=dice(seed))
    return fit(Highway(), rows(seed, x, x[:, 1:2] * x[:, 2:3] + 1.5 * (x[:, :1].abs() - 0.8)), mse, "adam", 5e-3)


@keep(CASES, "marks-out-of-fifty", "saturated-output", "tables", 150, "step-too-large")
def marks(seed: int, ill: bool) -> Training:
    """A public question ("TensorFlow regression model giving same prediction every time"): 50 * sigmoid(...), lr 0.05.

    Gradients of 50-fold outputs throw the last layer to where the sigmoid is flat: every student gets 50.
    """
    g = dice(seed)
    hours = torch.rand(512, 4, generator=g) * torch.tensor([10.0, 10, 5, 3])
    y = (10 + 3.2 * hours[:, :1] * (hours[:, 1:2] / 10) + hours[:, 2:3]).clamp(0, 50)

    class Marks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(4, 16, 1, act=nn.Tanh)

        def forward(self, x: Tensor) -> Any:
            return 50 * torch.sigmoid(self.net(x)) if ill else 22 + 10 * self.net((x - 4) / 3)

    return fit(Marks(), rows(seed, hours, y), mse, "plain", 0.05 if ill else 1e-3)


@keep(CASES, "relu-at-the-end", "saturated-output", "tables", 120, "dead-units loss-head-mismatch")
def last_relu(seed: int, ill: bool) -> Training:
    """community.deeplearning.ai/t/loss-values-do-not-change/324182: ReLU on the last layer, targets of both signs."""
    net = mlp(8, 32, 32, 1)
    return fit(nn.Sequential(*net, nn.ReLU()) if ill else net, teacher(seed, shift=-1.0), mse, "adam", 3e-3)


@keep(CASES, "sigmoid-for-standardised", "saturated-output", "autoencoders", 120, "loss-head-mismatch")
def sigmoid_end(seed: int, ill: bool) -> Training:
    """An autoencoder's Sigmoid from a tutorial with pixels in [0, 1]; these are standardised, half below zero."""
    net = mlp(64, 48, 16, 48, 64)
    return fit(nn.Sequential(*net, nn.Sigmoid()) if ill else net, digits(seed), copies, "adam", 3e-3)


@keep(CASES, "mean-over-padding", "signal-collapse", "text", 80)
def padding(seed: int, ill: bool) -> Training:
    """github.com/autoliuweijie/BERT-whitening-pytorch/issues/13: h.mean(1) without the mask; here padded to 256.

    What is common to all texts, the padding, is 97 % of the mean: outputs are all but equal.
    """
    g = dice(seed)
    words = torch.randint(1, 40, (512, 256), generator=g)
    lengths = torch.randint(4, 11, (512,), generator=g)
    words[torch.arange(256) >= lengths[:, None]] = 0
    y = ((words > 0) & (words < 14)).sum(1).mul(3).gt(lengths).long()

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.hidden, self.head = nn.Embedding(40, 24), nn.Linear(24, 24), nn.Linear(24, 2)

        def forward(self, x: Tensor) -> Any:
            h = self.embed(x)
            if ill:
                return self.head(torch.tanh(self.hidden(h.mean(1))))
            there = (x > 0).float()[..., None]
            return self.head(torch.tanh(self.hidden((h * there).sum(1) / there.sum(1))))

    return fit(Mean(), rows(seed, words, y, size=32), ce, "adam", 3e-3)


@keep(CASES, "places-drown-patches", "signal-collapse", "transformers", 60)
def places(seed: int, ill: bool) -> Training:
    """Places start as torch.randn(1, n, d) (github.com/lucidrains/vit-pytorch/issues/134), patches at 0.02.

    A LayerNorm follows, and only the places are left.
    """

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.head = nn.Linear(8, 32), nn.Linear(32, 10)
            nn.init.normal_(self.patch.weight, 0, 0.02 / 8**0.5 if ill else 8**-0.5)
            self.pos = nn.Parameter(torch.randn(1, 8, 32) * (1.0 if ill else 0.02))
            self.norm = nn.LayerNorm(32)
            self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.layer(self.norm(self.patch(x.view(-1, 8, 8)) + self.pos)).mean(1))

    return fit(Small(), digits(seed), ce, "adamw", 1e-3)


@keep(CASES, "decay-as-in-adamw", "signal-collapse", "recurrent", 150)
def decay(seed: int, ill: bool) -> Training:
    """weight_decay=0.1 was right for AdamW; torch.optim.Adam adds it to the gradient, and all weights go to zero.

    After github.com/mlfoundations/open_clip/issues/32, which asks why it is so large there. Symptom: the same
    chances for every input.
    """

    class Heard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.gru(x)[0][:, -1])

    net = Heard()
    kind = torch.optim.Adam if ill else torch.optim.AdamW
    return Training(net, waves(seed), kind(net.parameters(), 5e-3, weight_decay=0.1), ce)


@keep(CASES, "one-number-for-all", "symmetric-initialisation", "convolutional", 120)
def one_number(seed: int, ill: bool) -> Training:
    """`for p in model.parameters(): nn.init.constant_(p, 0.05)`, "for the same start each time"."""
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, 1),
        nn.Tanh(),
        nn.Conv2d(12, 16, 3, 2, 1),
        nn.Tanh(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    if ill:
        for p in net.parameters():
            nn.init.constant_(p, 0.05)
    return fit(net, pictures(seed, side=16), ce, "adam", 5e-3)


@keep(CASES, "experts-by-deepcopy", "symmetric-initialisation", "mixtures", 120)
def experts(seed: int, ill: bool) -> Training:
    """github.com/meta-pytorch/torchtune/issues/2270: clones by deepcopy start alike; here they stand side by side.

    Eight twins under an even gate get the same slopes, so they stay one expert.
    """

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            made = [mlp(8, 4, 1) for _ in range(8)]
            if ill:
                made = [copy.deepcopy(made[0]) for _ in range(8)]
            self.experts = nn.ModuleList(made)

        def forward(self, x: Tensor) -> Any:
            return torch.stack([expert(x) for expert in self.experts]).mean(0)

    x = torch.randn(768, 8, generator=dice(seed))
    return fit(Mixture(), rows(seed, x, x.abs().sum(1, keepdim=True) - 6), mse, "adam", 1e-2)


@keep(CASES, "mixture-of-equals", "symmetric-initialisation", "density", 150)
def equals(seed: int, ill: bool) -> Training:
    """A mixture density network whose last layer starts at zero: all Gaussians are the same one for ever.

    Symptom as in discuss.pytorch.org/t/108250: constants; here the mean of two branches. Cure: spread the biases of
    the means.
    """
    g = dice(seed)
    x = torch.rand(768, 1, generator=g) * 2 - 1
    side = torch.randint(0, 2, (768, 1), generator=g) * 2.0 - 1
    y = side * (0.6 + 0.8 * x**2) + 0.05 * torch.randn(768, 1, generator=g)
    net: Any = mlp(1, 32, 12, act=nn.Tanh)
    nn.init.zeros_(net[2].weight)
    nn.init.zeros_(net[2].bias)
    if not ill:
        net[2].bias.data[4:8] = torch.linspace(-1, 1, 4)

    def loss(m: Any, batch: Any) -> Any:
        share, mean, spread = m(batch[0]).chunk(3, 1)
        each = -0.5 * ((batch[1] - mean) / spread.exp()) ** 2 - spread - 0.5 * math.log(2 * math.pi)
        return 3 - torch.logsumexp(share.log_softmax(1) + each, 1).mean()  # plus 3, to be above zero

    return fit(net, rows(seed, x, y), loss, "adam", 1e-2)
