"""Small tasks, made from a seed, with something to learn."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, make_moons
from torch import Tensor

from benchmarks.doctor.case import Batches


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(10_000 + seed)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)


def digits(seed: int, size: int = 64) -> Batches:
    """Return handwritten digits, (B, 64) of mean 0 and variance 1, with their class."""
    x, y = _digits()
    return Batches(((x - x.mean()) / x.std(), y), size, seed)


def pictures(seed: int, size: int = 16, side: int = 32, channels: int = 3, classes: int = 4) -> Batches:
    """Return the digits below `classes` as pictures (B, channels, side, side), standardised."""
    x, y = _digits()
    x, y = x[y < classes], y[y < classes]
    x = ((x - x.mean()) / x.std()).view(-1, 1, 8, 8)
    x = F.interpolate(x, size=side, mode="nearest").expand(-1, channels, -1, -1).contiguous()
    return Batches((x, y), size, seed)


def teacher(seed: int, size: int = 64, inputs: int = 8, scale: float = 1.0, shift: float = 0.0) -> Batches:
    """Return a regression: (B, inputs) normal, targets (B, 1) of a random smooth teacher, times scale plus shift."""
    g = generator(seed)
    x = torch.randn(1024, inputs, generator=g)
    hidden = torch.tanh(x @ torch.randn(inputs, 6, generator=g) / inputs**0.5)
    y = hidden @ torch.randn(6, 1, generator=g)
    return Batches((x, scale * (y - y.mean()) / y.std() + shift), size, seed)


def table(seed: int, size: int = 64, inputs: int = 12, classes: int = 2) -> Batches:
    """Return a classification of (B, inputs) by a random linear rule with a product in it."""
    g = generator(seed)
    x = torch.randn(1024, inputs, generator=g)
    scores = x @ torch.randn(inputs, classes, generator=g) + 0.5 * x[:, :1] * x[:, 1:2]
    return Batches((x, scores.argmax(1)), size, seed)


def tokens(seed: int, size: int = 32, vocabulary: int = 30, length: int = 12) -> Batches:
    """Return sentences (B, length) whose class is whether small words abound in them."""
    x = torch.randint(1, vocabulary, (768, length), generator=generator(seed))
    return Batches((x, (x < vocabulary // 3).sum(1).gt(length // 3).long()), size, seed)


def progressions(seed: int, size: int = 32, vocabulary: int = 40, length: int = 12) -> Batches:
    """Return arithmetic progressions modulo the vocabulary (B, length): the next token follows from the last two."""
    g = generator(seed)
    start, step = torch.randint(0, vocabulary, (768, 1), generator=g), torch.randint(1, 4, (768, 1), generator=g)
    return Batches(((start + step * torch.arange(length)) % vocabulary,), size, seed)


def rare_tokens(seed: int, size: int = 32) -> Batches:
    """Return bags (B, 12) of 2,000 words, most of them rare; the class is told by the common ones."""
    x = (2000 * torch.rand(1024, 12, generator=generator(seed)) ** 6).long()
    return Batches((x, (x < 20).sum(1).gt(5).long()), size, seed)


def adding(seed: int, size: int = 32, length: int = 12) -> Batches:
    """Return the adding problem (B, length, 2): the target is the sum of the two marked numbers, centred."""
    g = generator(seed)
    values = torch.rand(1024, length, generator=g)
    marks = torch.zeros(1024, length)
    places = torch.rand(1024, length, generator=g).argsort(1)[:, :2]
    marks.scatter_(1, places, 1.0)
    return Batches((torch.stack((values, marks), -1), (values * marks).sum(1, keepdim=True) - 1.0), size, seed)


def recall(seed: int, size: int = 32, length: int = 60, inputs: int = 3) -> Batches:
    """Return sequences (B, length, inputs) whose class stands in the first input alone."""
    g = generator(seed)
    x = 0.1 * torch.randn(512, length, inputs, generator=g)
    y = torch.randint(0, 2, (512,), generator=g)
    x[:, 0, 0] = 2.0 * y - 1
    return Batches((x, y), size, seed)


def waves(seed: int, size: int = 32, length: int = 24) -> Batches:
    """Return noisy waves (B, length, 1) of three frequencies; the class is the frequency."""
    g = generator(seed)
    y = torch.randint(0, 3, (768,), generator=g)
    phase = 6.28 * torch.rand(768, 1, generator=g)
    x = torch.sin((0.3 + 0.4 * y[:, None]) * torch.arange(length) + phase)
    return Batches(((x + 0.2 * torch.randn(768, length, generator=g))[..., None], y), size, seed)


def discs(seed: int, size: int = 16, side: int = 16) -> Batches:
    """Return noisy pictures (B, 1, side, side) of a disc and its mask (B, 1, side, side)."""
    g = generator(seed)
    centre = side * (0.25 + 0.5 * torch.rand(384, 2, 1, 1, generator=g))
    radius = side * (0.1 + 0.15 * torch.rand(384, 1, 1, generator=g))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    mask = ((row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2 < radius**2).float()[:, None]
    return Batches((2 * mask - 0.5 + 0.5 * torch.randn(mask.shape, generator=g), mask), size, seed)


def moons(seed: int, size: int = 64) -> Batches:
    """Return points (B, 2) on two half circles, with their class."""
    x, y = make_moons(512, noise=0.05, random_state=seed)
    return Batches((torch.tensor(x, dtype=torch.float32), torch.tensor(y)), size, seed)


def graphs(seed: int, size: int = 16, nodes: int = 8) -> Batches:
    """Return graphs: features (B, nodes, 6), normalised adjacency (B, nodes, nodes); the class is the densest third."""
    g = generator(seed)
    x = torch.randn(512, nodes, 6, generator=g)
    share = 0.2 + 0.6 * torch.rand(512, 1, 1, generator=g)
    links = torch.triu((torch.rand(512, nodes, nodes, generator=g) < share).float(), 1)
    links = links + links.transpose(1, 2) + torch.eye(nodes)
    x[..., 0] = links.sum(-1) / nodes
    return Batches(
        (x, links / links.sum(-1, keepdim=True), ((share.flatten() - 0.2) / 0.2).long().clamp(0, 2)), size, seed
    )


def tail(seed: int, size: int = 32, length: int = 40) -> Batches:
    """Return noise (B, length, 1); the target (B, 1) is the mean of the last four, of variance 1."""
    x = torch.randn(1024, length, 1, generator=generator(seed))
    return Batches((x, 2 * x[:, -4:, 0].mean(1, keepdim=True)), size, seed)
