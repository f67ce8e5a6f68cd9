"""Times contestants in turn, so that a machine that slows down slows all of them, and compares round by round."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from vgtemplate.training.memory import keep_freed_memory


def number(value: float) -> str:
    """Write a number with three significant digits, without an exponent where it is large."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Spread:
    """Median, least and most of a quantity over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise one value per round."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{number(self.median)} [{number(self.least)}, {number(self.most)}]"


class Clock:
    """Measures from step `warm_up` to the last; waits for the device at both ends."""

    def __init__(self, warm_up: int, device: str) -> None:
        self._warm_up, self._device = warm_up, device
        self._step = 0
        self.seconds = float("nan")

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def step(self) -> None:
        """Say that a step begins."""
        if self._step == self._warm_up:
            self._started = self._now()
        self._step += 1

    def stop(self) -> None:
        """Say that the last step has ended."""
        self.seconds = self._now() - self._started


class LightningClock(pl.Callback):
    """A Clock for a Lightning trainer; the first of its callbacks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_train_batch_start(self, *_: Any) -> None:
        self._clock.step()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # At the end of the last step, before the trainer tidies up.
        if trainer.global_step == trainer.max_steps:
            self._clock.stop()


@dataclass(frozen=True)
class Contestant:
    """A way to do the work: returns the seconds of one step of one network, and can be sent to another process."""

    run: Callable[[], float]
    is_ours: bool = False


def prepare(threads: int, is_ours: bool) -> None:
    """Set up a process of contestants: its threads, and its output (progress bars are drawn, but go to /dev/null)."""
    torch.set_num_threads(threads)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    if is_ours:
        keep_freed_memory()


def race(
    contestants: Mapping[str, Contestant], rounds: int, watch: Callable[[str], None], title: str
) -> dict[str, list[float]]:
    """Let every contestant run once a round, each round beginning with another; return each one's seconds per round.

    Ours share a process that keeps freed memory, as `vgt` does; all others share one that is as Python starts it.
    """
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    with context.Pool(1, prepare, (threads, True)) as ours, context.Pool(1, prepare, (threads, False)) as theirs:
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                watch(f"{title}: {name}, round {number + 1} of {rounds}")
                pool = ours if contestants[name].is_ours else theirs
                seconds[name].append(pool.apply(contestants[name].run))
    return seconds


def ratios(seconds: Mapping[str, list[float]], to: str) -> dict[str, Spread]:
    """Return each contestant's time over that of `to`, round by round."""
    return {
        name: Spread.of([own / base for own, base in zip(values, seconds[to], strict=True)])
        for name, values in seconds.items()
    }
