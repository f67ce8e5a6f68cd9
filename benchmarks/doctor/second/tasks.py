"""The second zoo's tasks: none of them is in the first one. Each is made from a seed and has something to learn."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from itertools import repeat
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine, make_circles
from torch import Tensor

from benchmarks.doctor.case import Batches

POEM = (
    "twinkle twinkle little star how i wonder what you are up above the world so high like a diamond in the sky "
    "when the blazing sun is gone when he nothing shines upon then you show your little light twinkle twinkle all "
    "the night then the traveller in the dark thanks you for your tiny spark how could he see where to go if you "
    "did not twinkle so in the dark blue sky you keep often through my curtains peep for you never shut your eye "
    "till the sun is in the sky as your bright and tiny spark lights the traveller in the dark though i know not "
    "what you are twinkle twinkle little star "
)


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(77_000 + seed)


def standard(x: Tensor) -> Tensor:
    """Return the columns with mean 0 and variance 1."""
    return (x - x.mean(0)) / x.std(0)


def shapes(seed: int, size: int = 32, side: int = 12, classes: int = 4, raw: bool = False) -> Batches:
    """Return noisy pictures (B, 1, side, side) of a bar, a post, a disc or a slope; standardised, or raw in 0..255."""
    g = dice(seed)
    y = torch.randint(0, classes, (640,), generator=g)
    centre = 3 + (side - 6) * torch.rand(640, 2, 1, 1, generator=g)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    down, right = row - centre[:, 0], column - centre[:, 1]
    all_four = torch.stack((down.abs() < 1.5, right.abs() < 1.5, down**2 + right**2 < 8, (down - right).abs() < 1.5), 1)
    x = all_four[torch.arange(640), y].float()[:, None] + 0.3 * torch.randn(640, 1, side, side, generator=g)
    if raw:
        return Batches(((100 * x + 80).clamp(0, 255).round(), y), size, seed)
    return Batches(((x - x.mean()) / x.std(), y), size, seed)


def coloured(seed: int, size: int = 16, side: int = 12) -> Batches:
    """Return the shapes in three channels, of which noise tells nothing."""
    x, y = shapes(seed, size, side).tensors
    return Batches((x + 0.2 * torch.randn(len(x), 3, side, side, generator=dice(seed + 1)), y), size, seed)


def rings(seed: int, size: int = 64) -> Batches:
    """Return points (B, 2) on two rings, with their class."""
    x, y = make_circles(512, noise=0.06, factor=0.4, random_state=seed)
    return Batches((torch.tensor(x, dtype=torch.float32), torch.tensor(y)), size, seed)


def corpus(seed: int, size: int = 16, length: int = 24) -> Batches:
    """Return windows (B, length) of a poem, a letter per number below 27."""
    letters = torch.tensor([0 if each == " " else ord(each) - 96 for each in POEM])
    return Batches((letters.unfold(0, length, 1).contiguous(),), size, seed)


def tags(seed: int, size: int = 24, length: int = 10, vocabulary: int = 40) -> Batches:
    """Return sentences (B, length) and a tag of four for each word, which depends on the word before as well."""
    x = torch.randint(0, vocabulary, (512, length), generator=dice(seed))
    high = (x >= vocabulary // 2).long()
    return Batches((x, 2 * high + torch.cat((torch.zeros_like(high[:, :1]), high[:, :-1]), 1)), size, seed)


def reversal(seed: int, size: int = 32, length: int = 5, symbols: int = 8) -> Batches:
    """Return words (B, length) of symbols from 1 up, and the same backwards."""
    x = torch.randint(1, symbols + 1, (1024, length), generator=dice(seed))
    return Batches((x, x.flip(1)), size, seed)


def series(seed: int, size: int = 32, length: int = 32, ahead: int = 8) -> Batches:
    """Return windows (B, length) of a season and a day with noise, and what follows (B, ahead); variance near 1."""
    time = torch.arange(1200.0)
    y = torch.sin(time / 3) + 0.6 * torch.sin(time / 11 + 1) + 0.1 * torch.randn(1200, generator=dice(seed))
    windows = y.unfold(0, length + ahead, 1)
    return Batches((windows[:, :length].contiguous(), windows[:, length:].contiguous()), size, seed)


def trees(seed: int, size: int = 64, columns: int = 10) -> Batches:
    """Return (B, columns) uniform, and a target (B, 1) that three thresholds decide, of variance 1."""
    x = 3.4 * torch.rand(1024, columns, generator=dice(seed)) - 1.7
    y = 2.0 * (x[:, 0] > 0.3) + 1.0 * ((x[:, 1] > -0.5) & (x[:, 2] < 0.8)) - 1.5 * (x[:, 3] > 1.0)
    return Batches((x, standard(y[:, None])), size, seed)


@cache
def _table(which: str) -> tuple[Tensor, Tensor]:
    load: dict[str, Any] = {"wine": load_wine, "cancer": load_breast_cancer, "iris": load_iris}
    load["diabetes"] = partial(load_diabetes, scaled=False)
    x, y = load[which](return_X_y=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def measured(seed: int, which: str = "wine", size: int = 32, raw: bool = False) -> Batches:
    """Return a table of real measurements: wine (13 columns, 3 classes), cancer (30, 2) or iris (4, 3)."""
    x, y = _table(which)
    return Batches((x if raw else standard(x), y), size, seed)


def diabetes(seed: int, size: int = 64, raw: str = "") -> Batches:
    """Return ten columns and the progress of an illness (B, 1); what `raw` names is left as it was measured."""
    x, y = _table("diabetes")
    y = y.float()[:, None]
    return Batches((x if "x" in raw else standard(x), y if "y" in raw else standard(y)), size, seed)


def clicks(seed: int, size: int = 64, fields: int = 5, values: int = 40) -> Batches:
    """Return categories (B, fields) and whether there was a click (B,), by a hidden taste for each value."""
    g = dice(seed)
    x = (values * torch.rand(2048, fields, generator=g) ** 2).long()
    taste = 1.5 * torch.randn(fields, values, generator=g)
    score = taste[torch.arange(fields), x].sum(1) + taste[0, x[:, 0]] * taste[1, x[:, 1]]
    return Batches((x, (score > score.median()).float()), size, seed)


def community(seed: int, nodes: int = 90, groups: int = 3, directed: bool = False) -> Iterable[Any]:
    """Return one graph for ever: features (nodes, 8), normalised links (nodes, nodes), the group of each node."""
    g = dice(seed)
    y = torch.arange(nodes) % groups
    chance = 0.02 + 0.13 * (y[:, None] == y[None]).float()
    links = torch.triu((torch.rand(nodes, nodes, generator=g) < chance).float(), 1)
    links = links if directed else links + links.T + torch.eye(nodes)
    x = torch.randn(nodes, 8, generator=g)
    x[:, :groups] += 1.2 * torch.eye(groups)[y]
    return repeat((x, links / links.sum(1, keepdim=True).clamp(min=1.0), y))


def clouds(seed: int, size: int = 24, points: int = 20) -> Batches:
    """Return clouds of points (B, points, 3): a sphere, a plate or a rod."""
    g = dice(seed)
    x = torch.randn(480, points, 3, generator=g)
    y = torch.randint(0, 3, (480,), generator=g)
    form = torch.tensor([[0.0, 0.0, 0.0], [1.2, 1.2, 0.1], [0.1, 0.1, 2.0]])[y][:, None]
    ball = x / x.norm(dim=-1, keepdim=True)
    return Batches((torch.where(y[:, None, None] == 0, ball, x * form), y), size, seed)


def speech(seed: int, size: int = 16, symbols: int = 5, length: int = 3) -> Batches:
    """Return frames (B, 6 length, symbols) in which each of `length` symbols lasts a while, and the symbols (1 up)."""
    g = dice(seed)
    first = torch.randint(0, symbols, (384, 1), generator=g)
    steps = torch.randint(1, symbols, (384, length - 1), generator=g)
    y = torch.cat((first, steps), 1).cumsum(1) % symbols
    frames = torch.eye(symbols)[y].repeat_interleave(6, 1)
    frames[:, ::6] = 0.0
    return Batches((3 * (frames + 0.15 * torch.randn(frames.shape, generator=g)) - 0.5, y + 1), size, seed)


def picture(seed: int, size: int = 128) -> Batches:
    """Return places (B, 2) in [-1, 1] of a picture and its brightness (B, 1) there, with waves of many lengths."""
    place = 2 * torch.rand(2048, 2, generator=dice(seed)) - 1
    bright = torch.sin(6 * place[:, :1]) * torch.cos(9 * place[:, 1:])
    return Batches((place, bright + 0.5 * torch.sin(15 * place.sum(1, keepdim=True))), size, seed)


def counts(seed: int, size: int = 64) -> Batches:
    """Return (B, 6) normal and a count (B, 1) whose logarithm's mean is linear."""
    g = dice(seed)
    x = torch.randn(1024, 6, generator=g)
    return Batches((x, torch.poisson((0.5 + x[:, :2].sum(1, keepdim=True) * 0.7).exp(), generator=g)), size, seed)


def labels(seed: int, size: int = 64, inputs: int = 20, outputs: int = 6) -> Batches:
    """Return (B, inputs) normal and several labels (B, outputs) of 0 or 1 each."""
    g = dice(seed)
    x = torch.randn(1024, inputs, generator=g)
    return Batches((x, (x @ torch.randn(inputs, outputs, generator=g) > 0).float()), size, seed)


def rare_class(seed: int, size: int = 64, share: float = 0.05) -> Batches:
    """Return (B, 16) normal and a class (B,) of 0 or 1 that is 1 for a small share alone."""
    g = dice(seed)
    x = torch.randn(2048, 16, generator=g)
    score = x[:, :4].sum(1) + 0.5 * x[:, 4] * x[:, 5]
    return Batches((x, (score > score.quantile(1 - share)).long()), size, seed)


def factors(seed: int, size: int = 64, inputs: int = 24, hidden: int = 4) -> Batches:
    """Return (B, inputs) that a few hidden numbers make, and a class of four that they decide."""
    g = dice(seed)
    z = torch.randn(1024, hidden, generator=g)
    x = torch.tanh(z @ torch.randn(hidden, inputs, generator=g)) + 0.1 * torch.randn(1024, inputs, generator=g)
    return Batches((standard(x), 2 * (z[:, 0] > 0).long() + (z[:, 1] > 0).long()), size, seed)


def first_word(seed: int, size: int = 32, length: int = 40, words: int = 4) -> Batches:
    """Return sentences (B, length) of filler words whose class is the first word alone."""
    g = dice(seed)
    x = torch.randint(words, 12, (512, length), generator=g)
    x[:, 0] = torch.randint(0, words, (512,), generator=g)
    return Batches((x, x[:, 0].clone()), size, seed)


def sums(seed: int, size: int = 32, length: int = 30) -> Batches:
    """Return noise (B, length, 2); the target (B, 1) is the mean of the last three of the first column."""
    x = torch.randn(768, length, 2, generator=dice(seed))
    return Batches((x, 1.7 * x[:, -3:, 0].mean(1, keepdim=True)), size, seed)
