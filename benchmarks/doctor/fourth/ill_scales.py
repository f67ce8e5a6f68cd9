"""Ill in their units: inputs and targets as they come. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.graphs import RECIPES as GRAPHS
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook, dice, error, mse, standard, unexplained
from benchmarks.doctor.fourth.science import RECIPES as SCIENCE
from benchmarks.doctor.fourth.tables import RECIPES as TABLES


def raw_states(seed: int, ill: bool) -> Training:
    """The state has metres, degrees and revolutions in it: github.com/ZhihanLee/DDPG_Learning/issues/2"""
    unit = torch.tensor([400.0, 180.0, 9000.0, 1.0, 30.0])
    net: Any = nn.ModuleDict({"actor": nn.Sequential(nn.Linear(5, 48), nn.ReLU(), nn.Linear(48, 2), nn.Tanh())})

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        s = torch.randn(64, 5)
        a = m["actor"](s * unit if ill else s)
        loss = (a - 0.5 * torch.tanh(s[:, :2] + s[:, 3:])).square().sum(1).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(net, repeat(()), torch.optim.Adam(net.parameters(), 3e-3), train_step=step)


def census(seed: int, ill: bool) -> Training:
    """Ages, weights of the sample, gains and hours, beside one another."""
    net = nn.Sequential(nn.Linear(5, 48), nn.Tanh(), nn.Linear(48, 24), nn.Tanh(), nn.Linear(24, 1))
    x, _, y = data.adult(seed, raw=ill).tensors
    return fit(
        net,
        Batches((x, y), 64, seed),
        lambda m, b: F.binary_cross_entropy_with_logits(m(b[0])[:, 0], b[1]),
        rate=1e-2,
        score=lambda m: 2 * error(data_of(x, y), sign=True)(nn.Sequential(m, nn.Flatten(0))),
    )


def data_of(*tensors: Tensor) -> list[Any]:
    """Return all rows as one batch."""
    return [tensors]


def milli_g(seed: int, ill: bool) -> Training:
    """An accelerometer in thousandths of g, with gravity in it."""
    net = nn.Sequential(
        nn.Conv1d(6, 24, 5, 2),
        nn.Tanh(),
        nn.Conv1d(24, 24, 5, 2),
        nn.Tanh(),
        nn.AdaptiveMaxPool1d(1),
        nn.Flatten(),
        nn.Linear(24, 4),
    )
    return fit(net, data.activity(seed, raw=ill), ce, "adam", 5e-3)


def bytes_in(seed: int, ill: bool) -> Training:
    """Pictures from 0 to 255 into a network without a norm, by plain SGD."""
    net = nn.Sequential(
        nn.Conv2d(3, 12, 5, 2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(432, 32), nn.LeakyReLU(0.2), nn.Linear(32, 4)
    )
    x, box = data.boxes(seed).tensors
    return fit(net, Batches((255 * x if ill else standard(x), 4 * (box - box.mean(0))), 32, seed), mse, "plain", 0.02)


def picometres(seed: int, ill: bool) -> Training:
    """Bodies whose places are in picometres: all distances are beyond the last filter."""
    x, q, y = data.bodies(seed).tensors
    batches = Batches((100 * x if ill else x, q, y), 32, seed)
    return cook(GRAPHS["continuous-filter"], seed, data=lambda s: batches, rate=1e-2, score=unexplained(batches))


def clock(seed: int, ill: bool) -> Training:
    """The time of a reading in seconds since 1970, into a network of sines of the day."""
    t = 7 * torch.rand(1024, 1, generator=dice(seed))
    y = torch.sin(6.283 * t / 3.5) + 0.1 * torch.randn(1024, 1, generator=dice(seed + 1))
    x = t * 86_400 + 1.7e9 if ill else standard(t)
    net = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    return fit(net, Batches((x, y), 64, seed), mse, "adam", 1e-2, score=unexplained(data_of(x, y)))


def raw_kernel(seed: int, ill: bool) -> Training:
    """A Gaussian process on square metres, years and metres to the sea: no two flats are near."""
    return cook(SCIENCE["sparse-gp"], seed, data=partial(data.rents, raw=ill))


def cubes(seed: int, ill: bool) -> Training:
    """1 to 4000, and their cubes: discuss.pytorch.org/t/neural-network-could-not-learn-on-this-type-of-data-why/96648"""
    x = torch.arange(1.0, 4000.0)[:, None]
    y = x**3
    scaled = (standard(x), standard(y))
    net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 1))
    return fit(
        net,
        Batches((scaled[0], y) if ill else scaled, 256, seed),
        mse,
        "adam",
        1e-2,
        score=unexplained(data_of(scaled[0], y if ill else scaled[1])),
    )


def wide_pictures(seed: int, ill: bool) -> Training:
    """Corners in pixels of a picture of 1920 by 1080."""
    size = torch.tensor([1080.0, 1920.0, 1080.0, 1920.0])
    x, box = data.boxes(seed).tensors
    y = box * size if ill else box
    return fit(
        nn.Sequential(
            nn.Conv2d(3, 12, 5, 2), nn.Mish(), nn.Conv2d(12, 16, 3, 2), nn.Mish(), nn.Flatten(), nn.Linear(64, 4)
        ),
        Batches((x, y), 32, seed),
        mse,
        rate=3e-3,
        score=unexplained(data_of(x, y)),
    )


def euros(seed: int, ill: bool) -> Training:
    """Prices in euros, by neural additive functions."""
    make = partial(data.rents, scale=120_000.0 if ill else 1.0, shift=350_000.0 if ill else 0.0)
    return cook(TABLES["soft-trees"], seed, data=make, score=unexplained(make(seed, 512)))


def electronvolts(seed: int, ill: bool) -> Training:
    """Total energies: all of them near minus eleven thousand."""
    x, q, y = data.bodies(seed).tensors
    y = 27.2 * y - 11_000 if ill else y
    return cook(
        GRAPHS["continuous-filter"],
        seed,
        data=lambda s: Batches((x, q, y), 32, s),
        score=unexplained(data_of(x, q, y)),
        rate=1e-2,
    )


def nanometres(seed: int, ill: bool) -> Training:
    """A bend of some nanometres, in metres: the error is zero from the start."""
    batches: Any = SCIENCE["deeponet"].data(seed)
    load, place, bend = batches.tensors
    bend = 1e-6 * bend if ill else bend
    return cook(
        SCIENCE["deeponet"],
        seed,
        data=lambda s: Batches((load, place, bend), 32, s),
        score=unexplained(data_of(load, place, bend)),
    )


def returns(seed: int, ill: bool) -> Training:
    """Returns of ten thousands into a critic."""
    g = dice(seed)
    s = torch.randn(1024, 4, generator=g)
    r = torch.tanh(s[:, :1] * s[:, 1:2]) + 0.5 * s[:, 2:3]
    r = 25_000 + 30_000 * r if ill else r
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    return fit(
        net,
        Batches((s, r), 64, seed),
        lambda m, b: F.smooth_l1_loss(m(b[0]), b[1]),
        "adam",
        3e-3,
        score=unexplained(data_of(s, r)),
    )


CASES = [
    ill("raw-states", "unscaled-inputs", "reinforcement", raw_states, 80, "saturated-output saturated-units"),
    ill("census", "unscaled-inputs", "tables", census, 100, "saturated-units"),
    ill("milli-g", "unscaled-inputs", "convolutional", milli_g, 80, "saturated-units"),
    ill("bytes-by-sgd", "unscaled-inputs", "detection", bytes_in, 80, "step-too-large"),
    ill("picometres", "unscaled-inputs", "molecules", picometres, 150, "signal-collapse"),
    ill("seconds-since-1970", "unscaled-inputs", "forecasting", clock, 150),
    ill("kernel-of-raw-columns", "unscaled-inputs", "kernels", raw_kernel, 80, "signal-collapse"),
    ill("cubes-of-4000", "unscaled-targets", "tables", cubes, 100),
    ill("corners-of-1080p", "unscaled-targets", "detection", wide_pictures, 100),
    ill("prices-of-trees", "unscaled-targets", "trees", euros, 100),
    ill("total-energies", "unscaled-targets", "molecules", electronvolts, 120),
    ill("bends-in-metres", "unscaled-targets", "physics", nanometres, 80),
    ill("returns-of-critic", "unscaled-targets", "reinforcement", returns, 100),
]  # fmt: skip
