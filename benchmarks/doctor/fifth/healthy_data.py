"""Small tasks for the fifth zoo's healthy trainings, made from a seed."""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from torch import Tensor

from benchmarks.doctor.case import Batches

POEM = (
    "tyger tyger burning bright in the forests of the night what immortal hand or eye could frame thy fearful "
    "symmetry in what distant deeps or skies burnt the fire of thine eyes on what wings dare he aspire what the "
    "hand dare seize the fire and what shoulder and what art could twist the sinews of thy heart "
)


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(50_000 + seed)


@cache
def _table(name: str) -> tuple[Tensor, Tensor]:
    load = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer, "diabetes": load_diabetes}[name]
    x, y = load(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def flowers(seed: int, size: int = 150) -> Batches:
    """Return iris flowers in centimetres, (B, 4), and their kind."""
    return Batches(_table("iris"), size, seed)


def wines(seed: int, size: int = 32) -> Batches:
    """Return wines, (B, 13) standardised, and their grower."""
    x, y = _table("wine")
    return Batches(((x - x.mean(0)) / x.std(0), y), size, seed)


def biopsies(seed: int, size: int = 64, raw: bool = False) -> Batches:
    """Return measured cells, (B, 30), standardised unless raw, and whether they are benign, (B, 1)."""
    x, y = _table("cancer")
    return Batches((x if raw else (x - x.mean(0)) / x.std(0), y[:, None].float()), size, seed)


def patients(seed: int, size: int = 64) -> Batches:
    """Return patients, (B, 10) standardised, and the progress of their illness, (B, 1) in its unit of 25 to 346."""
    x, y = _table("diabetes")
    return Batches(((x - x.mean(0)) / x.std(0), y[:, None].float()), size, seed)


def bikes(seed: int, size: int = 64) -> Batches:
    """Return weather, (B, 6), and how many bicycles were hired, (B, 1)."""
    g = dice(seed)
    x = torch.randn(1024, 6, generator=g)
    rate = torch.exp(1.5 + 0.5 * x[:, :1] - 0.4 * x[:, 1:2] + 0.3 * x[:, 2:3] * x[:, 3:4])
    return Batches((x, torch.poisson(rate, generator=g)), size, seed)


def stars(seed: int, size: int = 64) -> Batches:
    """Return what is known of a film, (B, 8), and how many stars of 0 to 4 it got."""
    g = dice(seed)
    x = torch.randn(1024, 8, generator=g)
    score = x @ torch.randn(8, generator=g) / 8**0.5 + 0.3 * torch.randn(1024, generator=g)
    return Batches((x, torch.bucketize(score, torch.tensor([-1.0, -0.3, 0.3, 1.0]))), size, seed)


def ratings(seed: int, size: int = 128) -> Batches:
    """Return user, item and rating, (B,), from 1 to 5."""
    g = dice(seed)
    user, item = torch.randint(0, 60, (4096,), generator=g), torch.randint(0, 80, (4096,), generator=g)
    taste, kind = torch.randn(60, 3, generator=g), torch.randn(80, 3, generator=g)
    return Batches((user, item, (3.5 + (taste[user] * kind[item]).sum(1)).clamp(1, 5)), size, seed)


def houses(seed: int, size: int = 64) -> Batches:
    """Return area, year, rooms, distance and two more of a house, (B, 6) in their units, and its price, (B, 1)."""
    g = dice(seed)
    z = torch.randn(1024, 6, generator=g)
    unit = torch.tensor([40.0, 25.0, 1.5, 3000.0, 1.0, 10.0])
    x = z * unit + torch.tensor([120.0, 1980.0, 4.0, 9000.0, 0.0, 50.0])
    price = torch.exp(12.4 + 0.3 * z[:, :1] + 0.1 * z[:, 1:2] - 0.2 * torch.tanh(z[:, 3:4]) + 0.1 * z[:, 4:5])
    return Batches((x, price), size, seed)


def assays(seed: int, size: int = 64) -> Batches:
    """Return compounds, (B, 12), and five tests of them, (B, 5), of which two in five were not made: NaN."""
    g = dice(seed)
    x = torch.randn(1024, 12, generator=g)
    y = torch.tanh(x @ torch.randn(12, 5, generator=g) / 3)
    y[torch.rand(y.shape, generator=g) < 0.4] = torch.nan
    return Batches((x, y), size, seed)


def gaps(seed: int, size: int = 64) -> Batches:
    """Return answers to ten questions, (B, 10), a fifth of them missing (NaN), and a class."""
    g = dice(seed)
    x = torch.randn(1024, 10, generator=g)
    y = (x[:, :4].sum(1) > 0).long()
    x[torch.rand(x.shape, generator=g) < 0.2] = torch.nan
    return Batches((x, y), size, seed)


def rare(seed: int, size: int = 128, share: float = 0.04) -> Batches:
    """Return payments, (B, 10), and whether they are fraud, (B, 1), which few are."""
    g = dice(seed)
    x = torch.randn(4096, 10, generator=g)
    score = x[:, 0] + x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
    return Batches((x, (score > score.quantile(1 - share)).float()[:, None]), size, seed)


def survival(seed: int, size: int = 128) -> Batches:
    """Return patients, (B, 8), the time they were seen for, (B,), and whether they died, (B,)."""
    g = dice(seed)
    x = torch.randn(1024, 8, generator=g)
    time = -torch.rand(1024, generator=g).clamp_min(1e-4).log() / torch.exp(3 * x[:, 0] - 2 * x[:, 1])
    stop = 3 * torch.rand(1024, generator=g)
    return Batches((x, torch.minimum(time, stop), (time < stop).float()), size, seed)


def poem(seed: int, size: int = 16, length: int = 33) -> Batches:
    """Return windows of a poem as letters, (B, length): 0 for a blank, 1 to 26."""
    ids = torch.tensor([0 if c == " " else ord(c) - 96 for c in POEM])
    return Batches((torch.stack([ids[i : i + length] for i in range(len(ids) - length)]),), size, seed)


def mirrored(seed: int, size: int = 32, length: int = 5) -> Batches:
    """Return words of letters 3 to 12, (B, length), and the same backwards; 1 and 2 are left for begin and end."""
    x = torch.randint(3, 13, (1024, length), generator=dice(seed))
    return Batches((x, x.flip(1)), size, seed)


def ragged(seed: int, size: int = 32, longest: int = 14) -> Batches:
    """Return sentences, (B, longest), with zeros behind, and whether words below 10 abound in them."""
    g = dice(seed)
    length = torch.randint(4, longest + 1, (1024, 1), generator=g)
    x = torch.randint(1, 30, (1024, longest), generator=g) * (torch.arange(longest) < length)
    share = ((x < 10) & (x > 0)).sum(1) / length[:, 0]
    return Batches((x, (share > 0.32).long()), size, seed)


def tagged(seed: int, size: int = 32, longest: int = 12) -> Batches:
    """Return sentences with zeros behind, (B, longest), and tags of 1 to 4 that depend on the word and the last."""
    x, _ = ragged(seed, size, longest).tensors
    before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
    return Batches((x, (1 + (x % 2) + 2 * (before % 2)) * (x > 0)), size, seed)


def speech(seed: int, size: int = 24) -> Batches:
    """Return sounds, (B, 24, 8), and what was said, (B, 3), of sounds 1 to 5."""
    g = dice(seed)
    said = torch.randint(1, 6, (480, 3), generator=g)
    tones = torch.randn(6, 8, generator=g)
    tones[0] = 0
    frames = torch.zeros(480, 24, dtype=torch.long)
    for place in range(3):
        frames[:, 2 + 7 * place : 6 + 7 * place] = said[:, place : place + 1]
    return Batches((tones[frames] + 0.3 * torch.randn(480, 24, 8, generator=g), said), size, seed)


def loads(seed: int, size: int = 32, ahead: int = 8, level: float = 0.0, scale: float = 1.0) -> Batches:
    """Return 48 hours of a load, (B, 48), and those that follow, (B, ahead), about a level of its own each."""
    g = dice(seed)
    time = torch.arange(48.0 + ahead)
    phase, swing = 6.28 * torch.rand(768, 1, generator=g), 0.5 + torch.rand(768, 1, generator=g)
    y = swing * torch.sin(time * 6.28 / 12 + phase) + 0.1 * torch.randn(768, 48 + ahead, generator=g)
    y = scale * y + level * (0.5 + torch.rand(768, 1, generator=g))
    return Batches((y[:, :48], y[:, 48:]), size, seed)


def stream(seed: int, size: int = 16, length: int = 16) -> Batches:
    """Return one long wave per row, cut into pieces that follow each other, (size, length + 1), in order."""
    g = dice(seed)
    time = torch.arange(200.0 * length + 1)
    pace = 0.2 + 0.3 * torch.rand(size, 1, generator=g)
    wave = torch.sin(pace * time) + 0.05 * torch.randn(size, len(time), generator=g)
    return Batches((wave,), size, seed)


def spots(seed: int, size: int = 16, side: int = 16) -> Batches:
    """Return noisy pictures of one to four spots, (B, 1, side, side), and the map of their density, as large."""
    g = dice(seed)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    maps = torch.zeros(320, side, side)
    for number in range(4):
        at = 2 + (side - 4) * torch.rand(320, 2, 1, 1, generator=g)
        here = (torch.rand(320, 1, 1, generator=g) < (1.0 if number == 0 else 0.5)).float()
        maps += here * torch.exp(-((row - at[:, 0]) ** 2 + (column - at[:, 1]) ** 2) / 2)
    x = 2 * maps + 0.3 * torch.randn(maps.shape, generator=g)
    return Batches((x[:, None], maps[:, None]), size, seed)


def swirl(seed: int, size: int = 300) -> Batches:
    """Return points on three arms of a spiral, (B, 2), and their arm."""
    g = dice(seed)
    arm = torch.arange(300) % 3
    r = torch.linspace(0.05, 1, 300)
    turn = 4 * r + 2.1 * arm + 0.15 * torch.randn(300, generator=g)
    return Batches((torch.stack([r * turn.sin(), r * turn.cos()], 1), arm), size, seed)


def bytes_(seed: int, size: int = 32) -> Batches:
    """Return pictures as a camera gives them, (B, 3, 16, 16) from 0 to 255, and which of three things they show."""
    from benchmarks.doctor.fourth.data import scenes

    return scenes(seed, size, scale=255.0)
