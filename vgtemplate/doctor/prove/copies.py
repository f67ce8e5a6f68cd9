"""A short copy of a training: which one it is, and what became of it; as data, so that it may be another process's."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vgtemplate.doctor.prove.cure import Cure, from_dict
from vgtemplate.doctor.prove.rewrites import REWRITES, Rewrite
from vgtemplate.doctor.report import Report


@dataclass(frozen=True)
class Copy:
    """A copy to be trained: its seed, its cure (None: as it is), and the cures whose loss it notes besides."""

    seed: int
    cure: Cure | None = None
    measures: tuple[Cure, ...] = ()

    @property
    def rewritten(self) -> tuple[Cure, ...]:
        """The cures that change what functions are handed: those whose loss is noted, and its own."""
        own = (self.cure,) if self.cure is not None and self.cure.kind in REWRITES else ()
        return (*self.measures, *own)

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        cure = None if self.cure is None else self.cure.to_dict()
        return {"seed": self.seed, "cure": cure, "measures": [each.to_dict() for each in self.measures]}


def copy_from_dict(content: dict[str, Any]) -> Copy:
    """Return the copy that `to_dict` has made this of."""
    cure = None if content["cure"] is None else from_dict(content["cure"])
    return Copy(content["seed"], cure, tuple(map(from_dict, content["measures"])))


@dataclass(frozen=True)
class Trial:
    """What became of a copy: the doctor's codes, its losses, and by kind of cure what these should have been."""

    codes: tuple[str, ...] = ()
    losses: tuple[float, ...] = ()
    noted: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""
    """Why it could not be trained, or its cure not be applied."""

    @staticmethod
    def of(report: Report, rewrites: Iterable[Rewrite], failure: str) -> Trial:
        """Return what a copy's report says, and what its rewrites have noted."""
        noted = {each.cure.kind: [float(loss) for loss in each.losses] for each in rewrites}
        return Trial(tuple(report.codes), tuple(report.losses), noted, failure)


def trial_from_dict(content: dict[str, Any]) -> Trial:
    """Return the trial whose fields JSON has held."""
    return Trial(tuple(content["codes"]), tuple(content["losses"]), content["noted"], content["failure"])


def seed_all(seed: int) -> None:
    """Seed the global generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
