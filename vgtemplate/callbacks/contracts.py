"""What callbacks expect of a module and of each other; where it does not hold, an error says so in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, cast

import pytorch_lightning as pl
from torch import Tensor, nn

Expected = TypeVar("Expected")


class ReportsLosses(Protocol):
    """Keeps the losses of its newest training step."""

    @property
    def newest_losses(self) -> Tensor:
        """One per replica, (R,), detached."""


class GivesLosses(Protocol):
    """Computes the losses that its training minimises."""

    def replica_losses(self, batch: Any) -> Tensor:
        """Return each replica's loss on a batch, (R,), with a graph."""


class ShowsImages(Protocol):
    """Has images over which its units are looked at."""

    @property
    def probe_images(self) -> Tensor:
        """The same for every replica, (N, ...)."""

    @property
    def num_replicas(self) -> int:
        """R."""


class Scores(Protocol):
    """Can be scored on any images at any time."""

    @property
    def model(self) -> nn.Module:
        """The population; every tensor of its state has the replica axis in front."""

    @property
    def num_replicas(self) -> int:
        """R."""

    def score_over(self, batches: Iterable[Any]) -> Tensor:
        """Return each replica's score over batches, (R,)."""


class Validates(Protocol):
    """Keeps what its validations found, and its best weights."""

    best_weights: dict[str, Tensor] | None
    """Set by BestKeeper."""

    @property
    def model(self) -> nn.Module:
        """The population; every tensor of its state has the replica axis in front."""

    @property
    def validations(self) -> list[tuple[int, Tensor, Tensor]]:
        """Step, losses (R,) and scores (R,) of each."""


def lacking(module: object, protocol: Callable[..., object]) -> list[str]:
    """Return those members of a protocol that a module does not have, or has as None."""
    return [name for name in _members(protocol) if getattr(module, name, None) is None]


def _members(protocol: Callable[..., object]) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_")]


def require(module: object, protocol: Callable[..., Expected], callback: object) -> Expected:
    """Return the module as what a callback needs.

    Raises:
        ValueError: it lacks a member of the protocol.
    """
    if missing := lacking(module, protocol):
        needed, names = " and ".join(_members(protocol)), " and ".join(missing)
        who = type(callback).__name__
        raise ValueError(f"{who} needs a LightningModule with {needed}; {type(module).__name__} lacks {names}")
    return cast(Expected, module)


def check_order(trainer: pl.Trainer, first: pl.Callback, then: pl.Callback) -> None:
    """Raise a ValueError unless `then` stands after `first` in the trainer's callbacks."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    # What another callback calls on its own stands nowhere.
    if first in callbacks and then not in callbacks[callbacks.index(first) :]:
        names = type(first).__name__, type(then).__name__
        raise ValueError("in the trainer's callbacks {} must stand before {}".format(*names))
