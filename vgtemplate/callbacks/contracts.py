"""What callbacks expect of a module and of each other; where it does not hold, an error says so in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor, nn

from vgtemplate.lightning import pl

Expected = TypeVar("Expected")


class ReportsLosses(Protocol):
    """Keeps the losses of its newest training step, (R,), detached."""

    @property
    def newest_losses(self) -> Tensor: ...


class GivesLosses(Protocol):
    """Returns each replica's loss on a batch, (R,), with a graph."""

    def replica_losses(self, batch: Any) -> Tensor: ...


class ShowsImages(Protocol):
    """Has images over which its units are looked at, (N, ...), the same for each of its R replicas."""

    @property
    def probe_images(self) -> Tensor: ...

    @property
    def num_replicas(self) -> int: ...


class Scores(Protocol):
    """Returns each replica's score over any batches, (R,); every tensor of its model's state begins with R."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def num_replicas(self) -> int: ...

    def score_over(self, batches: Iterable[Any]) -> Tensor: ...


class Validates(Protocol):
    """Keeps step, losses (R,) and scores (R,) of each validation, and the best weights that BestKeeper hands it."""

    best_weights: dict[str, Tensor] | None

    @property
    def model(self) -> nn.Module: ...

    @property
    def validations(self) -> list[tuple[int, Tensor, Tensor]]: ...


def losses_of(outputs: Any) -> Tensor | None:
    """Return the losses that a training step has given, (R,), of one network (1,); None where it gave none."""
    if not isinstance(outputs, Mapping):
        outputs = {} if outputs is None else {"loss": outputs}
    found = outputs.get("losses", outputs.get("loss"))
    return found.reshape(-1) if isinstance(found, Tensor) else None


def ends_step(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Say whether a batch of an epoch is the last of those whose gradients make one update."""
    is_last: bool = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or is_last


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
