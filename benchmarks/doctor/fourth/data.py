"""The fourth zoo's data, each made from a seed and with something to learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.doctor.case import Batches
from benchmarks.doctor.fourth.parts import dice, standard


def activity(seed: int, size: int = 32, raw: bool = False) -> Batches:
    """Return six channels of a phone's sensors (B, 6, 48), and which of four things its owner does; raw: in milli-g."""
    g = dice(seed)
    y = torch.randint(0, 4, (640,), generator=g)
    t = torch.arange(48.0)
    pace = torch.tensor([0.15, 0.4, 0.75, 1.2])[y][:, None, None]
    phase = 6.28 * torch.rand(640, 6, 1, generator=g)
    x = torch.sin(pace * t + phase) * (0.5 + torch.rand(640, 6, 1, generator=g))
    x = x + 0.4 * torch.randn(640, 6, 48, generator=g)
    return Batches((1000 * x + torch.tensor([0.0, 0, 9810, 0, 0, 300])[:, None] if raw else x, y), size, seed)


def _scene(seed: int, count: int, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = dice(seed)
    y = torch.randint(0, 3, (count,), generator=g)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    centre = 4 + (side - 8) * torch.rand(count, 2, 1, 1, generator=g)
    radius = 2 + 1.5 * torch.rand(count, 1, 1, generator=g)
    a, b = (row - centre[:, 0]).abs(), (column - centre[:, 1]).abs()
    forms = torch.stack((a**2 + b**2 < radius**2, torch.maximum(a, b) < radius * 0.9, torch.minimum(a, b) < 0.8), 1)
    near = torch.maximum(a, b) <= radius
    mask = (forms[torch.arange(count), y] & near).float()[:, None]
    colour = torch.rand(count, 3, 1, 1, generator=g)
    x = mask * (0.6 + 0.4 * colour) + 0.15 * torch.rand(count, 3, side, side, generator=g)
    box = torch.cat((centre[:, :, 0, 0], radius[:, :, 0], radius[:, :, 0]), 1) / side
    return x, y, mask, box


def scenes(seed: int, size: int = 24, side: int = 16, scale: float = 1.0) -> Batches:
    """Return pictures (B, 3, side, side) between 0 and `scale` of a disc, a square or a cross, and which."""
    x, y, _, _ = _scene(seed, 480, side)
    return Batches((scale * x, y), size, seed)


def masks(seed: int, size: int = 16, side: int = 16) -> Batches:
    """Return pictures (B, 3, side, side), and where the thing is (B, 1, side, side)."""
    x, _, mask, _ = _scene(seed, 320, side)
    return Batches((x, mask), size, seed)


def boxes(seed: int, size: int = 32, pixels: float = 1.0) -> Batches:
    """Return pictures (B, 3, 16, 16), and the thing's middle, width and height (B, 4), in shares or in pixels."""
    x, _, _, box = _scene(seed, 640, 16)
    return Batches((x, pixels * box), size, seed)


def detections(seed: int, size: int = 24) -> Batches:
    """Return pictures, boxes in shares, and classes: what a detector is trained on."""
    x, y, _, box = _scene(seed, 480, 16)
    return Batches((x, box, y), size, seed)


def grainy(seed: int, size: int = 16) -> Batches:
    """Return noisy pictures (B, 3, 16, 16), and the same without noise."""
    x, _, _, _ = _scene(seed, 320, 16)
    return Batches((x + 0.4 * torch.randn(x.shape, generator=dice(seed + 1)), x), size, seed)


def shifted(seed: int, size: int = 16) -> Batches:
    """Return two pictures (B, 1, 16, 16), of which the second is the first, moved by one or two pixels."""
    x = torch.nn.functional.avg_pool2d(torch.randn(320, 1, 20, 20, generator=dice(seed)), 3, 1, 1)
    step = torch.randint(1, 3, (320,), generator=dice(seed + 1)).tolist()
    pairs = [(one[:, 2:18, 2:18], one[:, 2:18, 2 + s : 18 + s]) for one, s in zip(x, step, strict=True)]
    return Batches((3 * torch.stack([a for a, _ in pairs]), 3 * torch.stack([b for _, b in pairs])), size, seed)


def frames(seed: int, size: int = 16) -> Batches:
    """Return five pictures (B, 5, 1, 8, 8) of a spot that moves on a ring, and the sixth (B, 1, 8, 8)."""
    g = dice(seed)
    angle = 6.28 * torch.rand(320, 1, generator=g) + 0.5 * torch.arange(6.0) * torch.randint(
        1, 3, (320, 1), generator=g
    )
    place = 3.5 + 2.3 * torch.stack((angle.cos(), angle.sin()), -1)
    row, column = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    far = (row - place[..., 0, None, None]) ** 2 + (column - place[..., 1, None, None]) ** 2
    x = torch.exp(-far / 1.5)[:, :, None]
    return Batches((x[:, :5], x[:, 5]), size, seed)


def adult(seed: int, size: int = 64, raw: bool = False) -> Batches:
    """Return five numbers (B, 5), three categories (B, 3) below 8, 5 and 12, and a rare yes or no (B,)."""
    g = dice(seed)
    x = torch.randn(1280, 5, generator=g)
    c = torch.stack([torch.randint(0, n, (1280,), generator=g) for n in (8, 5, 12)], 1)
    taste = torch.randn(8, generator=g)[c[:, 0]] + torch.randn(12, generator=g)[c[:, 2]]
    y = (1.5 * x[:, 0] - x[:, 1] + x[:, 2] * x[:, 3] + taste > 1.5).float()
    if raw:
        x = x * torch.tensor([13.0, 1e5, 2500.0, 400.0, 12.0]) + torch.tensor([38.0, 1.9e5, 1000.0, 90.0, 40.0])
    return Batches((x, c, y), size, seed)


def rents(seed: int, size: int = 64, scale: float = 1.0, shift: float = 0.0, raw: bool = False) -> Batches:
    """Return six numbers of a flat (B, 6), and its rent (B, 1), of variance 1 before `scale` and `shift`."""
    g = dice(seed)
    x = torch.randn(1024, 6, generator=g)
    y = x[:, 0] + 0.7 * torch.tanh(2 * x[:, 1]) + 0.5 * x[:, 2] * x[:, 3] + 0.15 * torch.randn(1024, generator=g)
    if raw:
        x = x * torch.tensor([30.0, 15.0, 1.0, 400.0, 0.01, 2e3]) + torch.tensor([80.0, 1975, 3, 1200, 48.1, 6e3])
    return Batches((x, standard(y)[:, None] * scale + shift), size, seed)


def names(seed: int, size: int = 32, length: int = 9) -> Batches:
    """Return names (B, length) of letters 1 to 26, and their language of three."""
    g = dice(seed)
    chains = torch.softmax(2.5 * torch.randn(3, 26, 26, generator=g), 2)
    y = torch.randint(0, 3, (640,), generator=g)
    letters = [torch.randint(0, 26, (640,), generator=g)]
    for _ in range(length - 1):
        letters.append(torch.multinomial(chains[y, letters[-1]], 1, generator=g)[:, 0])
    return Batches((torch.stack(letters, 1) + 1, y), size, seed)


def demand(seed: int, size: int = 32, ahead: int = 6, scale: float = 1.0, shift: float = 0.0) -> Batches:
    """Return 36 weeks of sales (B, 36), and those that follow (B, ahead): season, trend and noise."""
    g = dice(seed)
    t = torch.arange(36.0 + ahead)
    level, slope = torch.randn(768, 1, generator=g), 0.03 * torch.randn(768, 1, generator=g)
    season = torch.sin(6.283 * t / 12 + 6.28 * torch.rand(768, 1, generator=g))
    x = level + slope * t + season + 0.15 * torch.randn(768, len(t), generator=g)
    x = x * scale + shift
    return Batches((x[:, :36], x[:, 36:]), size, seed)


def questions(seed: int, size: int = 32) -> Batches:
    """Return questions and answers (B, 8) each of words 1 to 79, whose themes agree."""
    g = dice(seed)
    theme = torch.randint(0, 16, (768, 1), generator=g)
    both = [5 * theme + torch.randint(0, 5, (768, 8), generator=g) for _ in range(2)]
    noise = [
        torch.where(torch.rand(768, 8, generator=g) < 0.3, torch.randint(1, 80, (768, 8), generator=g), x) for x in both
    ]
    return Batches((noise[0].clamp(min=1), noise[1].clamp(min=1)), size, seed)


def triples(seed: int, size: int = 64) -> Batches:
    """Return facts (B, 3): thing, relation of four, thing, of 24 things on a ring."""
    g = dice(seed)
    head, relation = torch.randint(0, 24, (1024,), generator=g), torch.randint(0, 4, (1024,), generator=g)
    return Batches((torch.stack((head, relation, (head + torch.tensor([1, 3, 7, 12])[relation]) % 24), 1),), size, seed)


def citations(seed: int, nodes: int = 72) -> list[Any]:
    """Return one graph for every step: features (N, 12), links (N, N) with loops, and which of three fields (N,)."""
    g = dice(seed)
    y = torch.randint(0, 3, (nodes,), generator=g)
    chance = torch.where(y[:, None] == y, 0.2, 0.03)
    links = torch.triu((torch.rand(nodes, nodes, generator=g) < chance).float(), 1)
    x = torch.randn(3, 12, generator=g)[y] * 0.7 + torch.randn(nodes, 12, generator=g)
    return [(x, links + links.T + torch.eye(nodes), y)] * 400


def bodies(seed: int, size: int = 32) -> Batches:
    """Return places (B, 5, 3) and charges (B, 5, 1) of five bodies, and their energy (B, 1), of variance 1."""
    g = dice(seed)
    x, q = 1.5 * torch.randn(640, 5, 3, generator=g), torch.randint(0, 2, (640, 5, 1), generator=g) * 2.0 - 1
    near = torch.exp(-torch.cdist(x, x))
    return Batches((x, q, standard((near * (q @ q.transpose(1, 2))).sum((1, 2)))[:, None]), size, seed)


def papers(seed: int, size: int = 48) -> Batches:
    """Return counts of 60 words (B, 60) in papers of four themes."""
    g = dice(seed)
    words = torch.softmax(2 * torch.randn(4, 60, generator=g), 1)
    share = torch.softmax(3 * torch.randn(720, 4, generator=g), 1)
    x = torch.zeros(720, 60)
    x.scatter_add_(1, torch.multinomial(share @ words, 40, True, generator=g), torch.ones(720, 40))
    return Batches((x,), size, seed)


def orbits(seed: int, size: int = 32, steps: int = 9) -> Batches:
    """Return paths (B, steps, 2) that turn and shrink."""
    g = dice(seed)
    angle = 6.28 * torch.rand(640, 1, generator=g) + 0.6 * torch.arange(float(steps))
    far = (0.5 + 1.5 * torch.rand(640, 1, generator=g)) * 0.95 ** torch.arange(float(steps))
    return Batches((torch.stack((far * angle.cos(), far * angle.sin()), -1),), size, seed)


def rings(seed: int, size: int = 64) -> Batches:
    """Return points (B, 2) on two rings of which one is within the other, and which (B,)."""
    g = dice(seed)
    y = torch.randint(0, 2, (768,), generator=g)
    angle, far = 6.283 * torch.rand(768, generator=g), 0.6 + y + 0.12 * torch.randn(768, generator=g)
    return Batches((torch.stack((far * angle.cos(), far * angle.sin()), 1), y), size, seed)


def reminder(seed: int, size: int = 32, length: int = 40) -> Batches:
    """Return digits (B, length) of 1 to 4 in front and zeros behind, and what stood first (B,)."""
    g = dice(seed)
    x = torch.zeros(768, length, dtype=torch.long)
    x[:, :2] = torch.randint(1, 5, (768, 2), generator=g)
    return Batches((x, x[:, 0] - 1), size, seed)


def gauge(seed: int, size: int = 32, length: int = 40) -> Batches:
    """Return a gauge with a mark on its first three readings (B, length, 2), and their mean (B, 1), of variance 1."""
    x = torch.randn(768, length, 2, generator=dice(seed))
    x[:, :, 1] = (torch.arange(length) < 3).float()
    return Batches((x, standard(x[:, :3, 0].mean(1))[:, None]), size, seed)


def ecg(seed: int, size: int = 24, length: int = 96) -> Batches:
    """Return beats (B, 1, length) with regular or irregular gaps, and whether they are irregular (B,)."""
    g = dice(seed)
    y = torch.randint(0, 2, (480,), generator=g)
    gap = 14 + (8 * (torch.rand(480, 7, generator=g) - 0.5)) * y[:, None] + torch.rand(480, 1, generator=g)
    at = gap.cumsum(1)[:, :, None]
    x = torch.exp(-((torch.arange(float(length)) - at) ** 2) / 3).sum(1) + 0.05 * torch.randn(480, length, generator=g)
    return Batches((standard(x)[:, None], y), size, seed)
