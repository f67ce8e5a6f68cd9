"""Healthy LightningModules; their classes are in `healthy_lit_usual` and `healthy_lit_other`."""

# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits, discs, moons, pictures, rare_tokens, waves
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_lessons import log_probabilities, nll, resnet, sine, unit_digits
from benchmarks.doctor.fifth.healthy_loops import Again
from benchmarks.doctor.fifth.healthy_pairs import Barlow
from benchmarks.doctor.fifth.healthy_parts import ce, dense, loader, mae, mse, named, own
from benchmarks.doctor.fifth.healthy_pictures import dice_and_entropy, double
from benchmarks.doctor.fifth.healthy_rows import Coral, ordinal
from benchmarks.doctor.fifth.healthy_series import Beats, BothWays
from benchmarks.doctor.fifth.healthy_tuned import swapped, trained
from benchmarks.doctor.fourth.data import masks, scenes


def module(where: str, name: str, *given: Any) -> Any:
    """Return a LightningModule, imported only when it is wanted."""
    return getattr(import_module(f"benchmarks.doctor.fifth.healthy_lit_{where}"), name)(*given)


def lit(
    seed: int,
    where: str,
    name: str,
    batches: Callable[[int], Batches],
    size: int = 32,
    given: Any = None,
    **trainer: Any,
) -> Training:
    """Return a training of a module with an ordinary loader; `given` makes from the seed what its constructor wants."""
    arguments = () if given is None else (given(seed),)
    return Training(module(where, name, *arguments), loader(batches(seed), seed, size), trainer=trainer)


def light(
    name: str, family: str, where: str, kind: str, batches: Any, steps: int = 60, falls: bool = True, **more: Any
) -> Case:
    """Return a case of a LightningModule."""
    return named(f"light-{name}", family, partial(lit, where=where, name=kind, batches=batches, **more), steps, falls)


def teacher(seed: int) -> Any:
    """Return a trained network for digits."""
    return trained(dense(64, 10, 96), digits(seed))


def eyes(seed: int) -> Any:
    """Return a trained network for scenes."""
    return trained(resnet(), scenes(seed))


def places(seed: int) -> Batches:
    """Return places in a room, (B, 2)."""
    return Batches((torch.randn(2048, 2, generator=data.dice(seed)),), 64, seed)


def task(
    name: str, net: Any, batches: Any, loss: Any, way: str, rate: float, steps: int = 60, size: int = 32, **trainer: Any
) -> Case:
    """Return a case of a template's module round an ordinary network."""

    def make(seed: int) -> Training:
        return Training(
            module("usual", "Task", net(), loss, way, rate), loader(batches(seed), seed, size), trainer=trainer
        )

    return named(f"light-{name}", "Lightning", make, steps)


usual, other = partial(light, where="usual"), partial(light, where="other")
CASES: list[Case] = [
    usual("classifier", "Lightning", kind="Classifier", batches=digits),
    usual("one-cycle", "Lightning", kind="OneCycle", batches=scenes, size=24),
    usual("autoencoder-lesson", "Lightning", kind="AutoEncoder", batches=digits, steps=100),
    usual("variational", "Lightning", kind="Variational", batches=unit_digits, steps=100, size=64),
    usual("segmenter-bfloat16", "Lightning", kind="Segmenter", batches=discs, size=16, precision="bf16-mixed"),
    usual("forecaster-clipped", "Lightning", kind="Forecaster", batches=data.loads, steps=120, gradient_clip_val=0.5),
    usual("recommender", "Lightning", kind="Recommender", batches=data.ratings, steps=120, size=128),
    usual("distiller", "Lightning", kind="Distiller", batches=digits, steps=80, given=teacher),
    usual("transfer-lesson", "Lightning", kind="Transfer", batches=swapped, steps=80, size=24, given=eyes),
    usual("letters-accumulated", "Lightning", kind="Letters", batches=data.poem, size=16, accumulate_grad_batches=2),
    usual("diffusion", "Lightning", kind="Diffusion", batches=moons, steps=120, size=128),
    usual("contrast", "Lightning", kind="Contrast", batches=digits, size=64, steps=80),
    usual("payments-plateau", "Lightning", kind="Payments", batches=data.rare, steps=120, size=128),
    other("game-toggled", "Lightning", kind="Game", batches=digits, steps=120, falls=False),
    other("accumulates-by-hand", "Lightning", kind="ByHand", batches=digits, steps=40, size=24),
    other("pieces-by-hand", "Lightning", kind="Pieces", batches=data.loads, steps=120),
    other("sparse-and-dense", "Lightning", kind="Sparse", batches=rare_tokens, steps=160),
    other("nested", "Lightning", kind="Nested", batches=digits, steps=80),
    other("thawing", "Lightning", kind="Thawing", batches=swapped, steps=80, size=24, given=eyes),
    other("agent", "Lightning", kind="Agent", batches=places, steps=120, size=64, falls=False),
    other("own-clip", "Lightning", kind="OwnClip", batches=digits, steps=100, size=64),
    other("quasi-newton", "Lightning", kind="Quasi", batches=moons, steps=20, size=256),
    other("slow-copy-in-a-hook", "Lightning", kind="Views", batches=digits, steps=80, size=64),
    other("heads-in-turn", "Lightning", kind="Turns", batches=digits, steps=100, size=64),
    other("tuned-at-2e-5", "Lightning", kind="Tiny", batches=digits, steps=50, size=64, given=teacher, falls=False),
    task("wine", partial(dense, 13, 3, 16), data.wines, ce, "rmsprop", 3e-3, 80),
    task("sine-of-tanh", partial(dense, 1, 1, 32, torch.nn.Tanh), sine, mse, "adam", 0.01, 150, 100),
    task("log-softmax-nll", log_probabilities, digits, nll, "adagrad", 0.02, 80, gradient_clip_val=1.0),
    task("both-ways", BothWays, waves, ce, "adam", 5e-3, 60, gradient_clip_val=0.5, gradient_clip_algorithm="value"),
    task("residual-forecasts", Beats, data.loads, mae, "adam", 2e-3, 80, accumulate_grad_batches=2),
    task("stars-in-order", Coral, data.stars, ordinal, "adamw", 1e-2, 80),
    task("barlow-twins", Barlow, digits, own, "adam", 5e-3, 100, 64),
    task("computed-again", Again, partial(pictures, side=16), ce, "adamw", 5e-3, 60, 16),
    task("masks-by-nadam", lambda: torch.nn.Sequential(double(3, 12), double(12, 12), torch.nn.Conv2d(12, 1, 1)), masks, dice_and_entropy, "nadam", 3e-3, 60, 16),
]  # fmt: skip
