"""The third zoo's tasks, each made from a seed and with something to learn; and how its nets are put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import make_friedman1, make_moons
from torch import Tensor, nn

from benchmarks.doctor.case import Batches
from benchmarks.doctor.second.tasks import dice, standard


class Net(nn.Module):
    """Parts and a function of them: modules and parameters are registered, other tensors become buffers."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *x: Any) -> Any:
        return self.run(self, *x)


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Any) -> Any:
        return self.function(*x)


def motifs(seed: int, size: int = 32, length: int = 48, scale: float = 1.0, shift: float = 0.0) -> Batches:
    """Return noise (B, 1, length) that hides one of four short waves somewhere, and which."""
    g = dice(seed)
    t = torch.arange(12.0)
    ramp = torch.linspace(-1, 1, 12)
    forms = torch.stack(
        (torch.sin(1.3 * t), ramp, torch.sign(torch.sin(0.6 * t)), 1.5 * torch.exp(-((t - 6) ** 2) / 4))
    )
    y = torch.randint(0, 4, (768,), generator=g)
    place = torch.randint(0, length - 12, (768, 1), generator=g) + torch.arange(12)
    x = (0.35 * torch.randn(768, length, generator=g)).scatter_add_(1, place, 1.6 * forms[y])
    return Batches((scale * standard(x)[:, None] + shift, y), size, seed)


def volumes(seed: int, size: int = 24) -> Batches:
    """Return noisy solids (B, 1, 8, 8, 8): a ball, a rod or a plate, and which."""
    g = dice(seed)
    y = torch.randint(0, 3, (360,), generator=g)
    axes = torch.meshgrid(*[torch.arange(8.0)] * 3, indexing="ij")
    centre = 2.5 + 2 * torch.rand(360, 3, 1, 1, 1, generator=g)
    a, b, c = ((axes[n] - centre[:, n]).abs() for n in range(3))
    solids = torch.stack(((a**2 + b**2 + c**2) < 5, (a < 1.2) & (b < 1.2), a < 1.0), 1)
    x = solids[torch.arange(360), y].float() + 0.2 * torch.randn(360, 8, 8, 8, generator=g)
    return Batches((((x - x.mean()) / x.std())[:, None], y), size, seed)


def discs(seed: int, size: int = 16, side: int = 16) -> Batches:
    """Return noisy pictures (B, 1, side, side) of a disc, and the mask (B, 1, side, side) of where it is."""
    g = dice(seed)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    centre = 4 + (side - 8) * torch.rand(320, 2, 1, 1, generator=g)
    mask = (((row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2) < 9).float()[:, None]
    return Batches((2 * mask - 0.4 + 0.6 * torch.randn(mask.shape, generator=g), mask), size, seed)


def brackets(seed: int, size: int = 24, length: int = 16) -> Batches:
    """Return brackets that open (1) or close (0), (B, length), and how deep one is after each, 0 to 3."""
    x = torch.randint(0, 2, (600, length), generator=dice(seed))
    depth, all_of_them = torch.zeros(600, dtype=torch.long), []
    for step in x.unbind(1):
        depth = (depth + 2 * step - 1).clamp(0, 3)
        all_of_them.append(depth)
    return Batches((x, torch.stack(all_of_them, 1)), size, seed)


def reviews(seed: int, size: int = 32, length: int = 14, words: int = 60) -> Batches:
    """Return sentences (B, length), padded with 0 behind, and whether their words are good in sum (B,)."""
    g = dice(seed)
    x = torch.randint(1, words, (800, length), generator=g)
    long = torch.randint(4, length + 1, (800, 1), generator=g)
    x = torch.where(torch.arange(length) < long, x, torch.zeros_like(x))
    taste = torch.randn(words, generator=g)
    taste[0] = 0
    return Batches((x, (taste[x].sum(1) > 0).long()), size, seed)


def sorting(seed: int, size: int = 48, length: int = 5) -> Batches:
    """Return digits 1 to 7 (B, length), and the same in order."""
    x = torch.randint(1, 8, (1500, length), generator=dice(seed))
    return Batches((x, x.sort(1).values), size, seed)


def opening(seed: int, size: int = 32, length: int = 30) -> Batches:
    """Return noise (B, length, 2); the target (B, 1) is what came first."""
    x = 0.3 * torch.randn(768, length, 2, generator=dice(seed))
    x[:, 0] *= 3.3
    return Batches((x, x[:, 0, :1].clone()), size, seed)


def lifetimes(seed: int, size: int = 64) -> Batches:
    """Return (B, 8) normal, how long each lasted (B,), and whether its end was seen (B,) or it was lost sight of."""
    g = dice(seed)
    x = torch.randn(1024, 8, generator=g)
    risk = 1.2 * x[:, 0] - x[:, 1] + 0.8 * x[:, 2] * x[:, 3]
    last = -torch.log(torch.rand(1024, generator=g) + 1e-6) * torch.exp(-risk)
    lost = -3 * torch.log(torch.rand(1024, generator=g) + 1e-6)
    return Batches((x, torch.minimum(last, lost), (last < lost).float()), size, seed)


def ratings(seed: int, size: int = 128, people: int = 40, films: int = 30) -> Batches:
    """Return who and what (B, 2) and the rating (B, 1), of variance 1, which three hidden tastes make."""
    g = dice(seed)
    x = torch.stack((torch.randint(0, people, (3000,), generator=g), torch.randint(0, films, (3000,), generator=g)), 1)
    like, is_so = torch.randn(people, 3, generator=g), torch.randn(films, 3, generator=g)
    return Batches((x, standard((like[x[:, 0]] * is_so[x[:, 1]]).sum(1, keepdim=True))), size, seed)


def friedman(
    seed: int, size: int = 64, x_scale: Any = 1.0, x_shift: Any = 0.0, scale: float = 1.0, shift: float = 0.0
) -> Batches:
    """Return Friedman's ten columns and his target (B, 1), both of variance 1 before they are scaled and shifted."""
    x, y = (torch.tensor(each, dtype=torch.float32) for each in make_friedman1(1024, noise=0.3, random_state=seed))
    return Batches((standard(x) * x_scale + x_shift, standard(y[:, None]) * scale + shift), size, seed)


def moons(seed: int, size: int = 64) -> Batches:
    """Return points (B, 2) of two half moons, of variance 1, and which moon."""
    x, y = make_moons(768, noise=0.08, random_state=seed)
    return Batches((standard(torch.tensor(x, dtype=torch.float32)), torch.tensor(y)), size, seed)


def spirals(seed: int, size: int = 96) -> Batches:
    """Return points (B, 2) on three arms of a spiral, and which arm."""
    g = dice(seed)
    y, far = torch.randint(0, 3, (960,), generator=g), torch.rand(960, generator=g) + 0.15
    turn = 3.5 * far + 2.094 * y + 0.12 * torch.randn(960, generator=g)
    return Batches((standard(torch.stack((far * turn.cos(), far * turn.sin()), 1)), y), size, seed)


def molecules(seed: int, many: int = 16, groups: int = 20) -> list[Any]:
    """Return batches of atoms (N, 4), bonds (2, E), whose each is (N,), and a number (many, 1) per molecule."""
    g = dice(seed)
    batches = []
    for _ in range(groups):
        sizes = torch.randint(4, 9, (many,), generator=g)
        owner = torch.arange(many).repeat_interleave(sizes)
        x = torch.eye(4)[torch.randint(0, 4, (len(owner),), generator=g)]
        pair = (owner[:, None] == owner) & (torch.rand(len(owner), len(owner), generator=g) < 0.4)
        bonds = (pair | pair.T).fill_diagonal_(False).nonzero().T
        unlike = (x[bonds[0], 0] * (1 - x[bonds[1], 0])).unsqueeze(1)
        y = torch.zeros(many, 1).index_add(0, owner[bonds[0]], unlike)
        batches.append((x, bonds, owner, (y - 3.2) / 2.8))
    return batches * 40


def handfuls(seed: int, size: int = 48, many: int = 10) -> Batches:
    """Return sets of numbers (B, many, 1), and how far the largest is from the smallest (B, 1), of variance 1."""
    x = torch.randn(900, many, 1, generator=dice(seed)) * (0.3 + 1.4 * torch.rand(900, 1, 1, generator=dice(seed + 1)))
    return Batches((x, standard(x.amax(1) - x.amin(1))), size, seed)


def pendulum(seed: int, size: int = 48, steps: int = 8) -> Batches:
    """Return angle and speed (B, 2) of a damped pendulum, and those that follow (B, steps, 2)."""
    now = 2 * torch.randn(600, 2, generator=dice(seed)).clamp(-1.2, 1.2)
    first, path = now, []
    for _ in range(steps):
        for _ in range(10):
            now = now + 0.025 * torch.stack((now[:, 1], -torch.sin(now[:, 0]) * 2 - 0.2 * now[:, 1]), 1)
        path.append(now)
    return Batches((first, torch.stack(path, 1)), size, seed)


def inverse(seed: int, size: int = 96) -> Batches:
    """Return Bishop's inverse problem: x (B, 1), and one of the several y (B, 1) that lead there."""
    y = torch.rand(1200, 1, generator=dice(seed))
    x = y + 0.3 * torch.sin(6.283 * y) + 0.05 * torch.randn(1200, 1, generator=dice(seed + 1))
    return Batches((standard(x), standard(y)), size, seed)


def heat(seed: int, size: int = 32, points: int = 32) -> Batches:
    """Return the heat along a ring (B, 1, points), and the same a while later, both of variance 1."""
    g = dice(seed)
    waves = torch.fft.rfftfreq(points) * points
    start = torch.randn(512, len(waves), dtype=torch.cfloat, generator=g) / (1 + waves)
    x, y = (torch.fft.irfft(start * torch.exp(-t * waves**2 + 0.5j * t * 20 * waves), n=points) for t in (0.0, 0.04))
    return Batches((standard(x)[:, None], standard(y)[:, None]), size, seed)


def couples(seed: int, size: int = 48, width: int = 16) -> Batches:
    """Return two views (B, width) each of four hidden numbers."""
    g = dice(seed)
    z = torch.randn(900, 4, generator=g)
    one, two = (torch.tanh(z @ torch.randn(4, width, generator=g)) for _ in range(2))
    noise = 0.1 * torch.randn(900, width, generator=g)
    return Batches((standard(one + noise), standard(two - noise)), size, seed)


def mosaic(seed: int, size: int = 48, side: int = 8) -> Batches:
    """Return pictures (B, 1, side, side) of 0 and 1: stripes of a random width, turned or not."""
    g = dice(seed)
    width, turned = torch.randint(1, 4, (600, 1, 1), generator=g), torch.rand(600, 1, 1, generator=g) < 0.5
    shift = torch.randint(0, 6, (600, 1, 1), generator=g)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    x = ((torch.where(turned, row, column) + shift) // width) % 2
    return Batches((x.float()[:, None], turned[:, 0, 0].long()), size, seed)
