"""Times contestants in turn, so that a machine that slows down slows all of them, and compares round by round."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch


@dataclass(frozen=True)
class Spread:
    """Median, least and most of a quantity over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise one value a round."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.least:.3g}, {self.most:.3g}]"


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


Contestant = Callable[[], float]
"""Does the work once and returns the seconds of one step of one network."""


def race(
    contestants: Mapping[str, Contestant], rounds: int, watch: Callable[[str], None], title: str
) -> dict[str, list[float]]:
    """Let every contestant run once a round, each round beginning with another; return each one's seconds a round."""
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            watch(f"{title}: {name}, round {number + 1} of {rounds}")
            with silence():
                seconds[name].append(contestants[name]())
    return seconds


def ratios(seconds: Mapping[str, list[float]], to: str) -> dict[str, Spread]:
    """Return each contestant's time over that of `to`, round by round."""
    return {
        name: Spread.of([own / base for own, base in zip(values, seconds[to], strict=True)])
        for name, values in seconds.items()
    }


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Send what contestants print to the null device, progress bars too: drawn as ever, seen by nobody."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as null:  # noqa: PTH123  (the null device is no path)
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in kept:
                os.close(descriptor)
