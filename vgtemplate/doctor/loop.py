"""`watch`: the doctor for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from vgtemplate.doctor.examine import examine
from vgtemplate.doctor.observer import Observer
from vgtemplate.doctor.report import Report
from vgtemplate.watching.loop import Loop

Optimizer = torch.optim.Optimizer
STEPS = 200
"""So many steps are watched where nothing else is said."""


def _whole(most: int = 10**12) -> frozenset[int]:
    steps = [0, 1, 2, 3, 4]
    while steps[-1] < most:
        steps.append(2 * steps[-1] + 1)
    return frozenset(steps)


_WHOLE = _whole()


def is_due(step: int) -> bool | str:
    """Say whether a step is watched, or "briefly": all of it in ever larger gaps, its loss and motion in between.

    All is looked at in the steps 0, 1, 2, 3, 4, 9, 19, 39, 79, 159, ...; briefly in the first twelve, and in two of
    each ten (of each 20 from 60 on, of each 50 from 200 on), since some faults show in steps that follow each other.
    """
    gap = 10 if step < 60 else 20 if step < 200 else 50
    return step in _WHOLE or ("briefly" if step < 12 or step % gap < 2 else False)


@contextmanager
def watch(
    model: nn.Module, optimizer: Optimizer | Iterable[Optimizer] | None = None, every: int | None = None
) -> Iterator[Report]:
    """Watch a network within the block: `with watch(model, optimizer) as report: ...`, then `report.findings`.

    What is known is in the report when the block ends. The training ends with the same weights as without, bit for
    bit. `report.series()` has arrays (1, S, L) of S watched steps and L layers, `report.layers` their names.

    Args:
        model: any network.
        optimizer: the one that moves it, or several; None: all that do.
        every: watch each so many steps, from the first, all of each; None: as `is_due` says.

    Raises:
        ValueError: `every` is below 1.
    """
    if every is not None and every < 1:
        raise ValueError(f"every: {every} is no number of steps; allowed: 1 and more")
    given = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer or ())
    observer = Observer(model)
    loop = Loop(observer, given, is_due if every is None else lambda step: step % every == 0, stays=True)
    report = Report()
    loop.start()
    try:
        yield report
    finally:
        loop.stop()
        evidence = observer.conclude()
        report.take(evidence, *examine(evidence))
