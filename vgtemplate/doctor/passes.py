"""Runs of a script that look for its first value that is not finite: one finds the step, one watches it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from vgtemplate.config.errors import Enough
from vgtemplate.doctor.hunt import Hunt
from vgtemplate.doctor.trace import tensors

Optimizer = torch.optim.Optimizer
_BATCHES = 4
"""So many batches may have been fetched ahead."""


@dataclass
class Seen:
    """What a run has seen: the loss of every backward pass, and where it stopped to be finite."""

    losses: list[float] = field(default_factory=list)
    steps: int = 0
    """How often the first optimiser has stepped."""
    bad: str = ""
    """"the loss" or "the gradient", which was not finite at step `steps`; "" where neither ever was."""
    culprit: dict[str, Any] | None = None
    indices: list[int] = field(default_factory=list)
    """Of the samples in the data set, where a DataLoader's batch was recognised."""


class Pass:
    """One run of a script; the script is ended where a loss or a gradient is not finite.

    Args:
        watched: the step from which every function is looked at; None: none is.
    """

    def __init__(self, watched: int | None, told: Callable[[Seen], None]) -> None:
        self.seen = Seen()
        self._watched, self._told = watched, told
        self._first: Optimizer | None = None
        self._batches = Batches()
        self._hunt: Hunt | None = None

    def start(self) -> None:
        """From here on; in a process that runs nothing but this script."""
        backward: Callable[..., Any] = torch.autograd.backward

        def noted(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(tensors, Tensor) and tensors.numel() == 1:
                self._before_backward(tensors)
            return backward(tensors, *args, **kwargs)

        torch.autograd.backward = noted
        register_optimizer_step_pre_hook(self._before_step)
        register_optimizer_step_post_hook(self._after_step)
        if self._watched is not None:
            self._batches.install()
            self._hunt = Hunt(sees=self._batches.see)
            self._hunt.is_on = self._watched == 0
            self._hunt.__enter__()  # type: ignore[no-untyped-call]

    def _before_backward(self, loss: Tensor) -> None:
        self.seen.losses.append(float(loss.detach()))
        if not bool(loss.detach().isfinite()):
            self._found("the loss")
        if self._hunt is not None and self._hunt.is_on:
            self._hunt.watch_backward(loss)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._first = self._first or optimizer
        gradients = [each.grad for group in optimizer.param_groups for each in group["params"]]
        if not all(bool(_values(each).isfinite().all()) for each in gradients if each is not None):
            self._found("the gradient")

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer is self._first:
            self.seen.steps += 1
        if self._hunt is not None and self._watched is not None and self.seen.steps >= self._watched:
            self._hunt.is_on = True
            self._hunt.begin()

    def _found(self, what: str) -> None:
        self.seen.bad = what
        if self._hunt is not None:
            culprit = self._hunt.forward if what == "the loss" else self._hunt.backward or self._hunt.forward
            self.seen.culprit = None if culprit is None else culprit.to_dict()
            indices = self._batches.running
            places = () if culprit is None else culprit.samples
            self.seen.indices = [indices[place] for place in places if place < len(indices)]
            self._hunt.is_on = False
        self._told(self.seen)
        raise Enough

    def end(self) -> None:
        """The script has ended by itself."""
        self._told(self.seen)


def _values(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


class Batches:
    """Which samples of a data set are in the batch at hand, for those that torch's DataLoader gives."""

    def __init__(self) -> None:
        self.running: list[int] = []
        """Of the newest batch of which a function was handed a tensor."""
        self._known: deque[tuple[list[Tensor], list[int]]] = deque(maxlen=_BATCHES)

    def install(self) -> None:
        """Listen to every loader."""
        kind: Any = torch.utils.data.dataloader._BaseDataLoaderIter
        next_index, following = kind._next_index, kind.__next__
        asked: WeakKeyDictionary[Any, deque[Any]] = WeakKeyDictionary()

        def noted(loader: Any) -> Any:
            index = next_index(loader)
            asked.setdefault(loader, deque()).append(index)
            return index

        def given(loader: Any) -> Any:
            batch = following(loader)
            index = asked[loader].popleft() if asked.get(loader) else []
            self._known.append((list(_inside(batch)), list(index) if isinstance(index, (list, tuple)) else [index]))
            return batch

        kind._next_index, kind.__next__ = noted, given

    def see(self, tensor: Tensor) -> None:
        """A function was handed a tensor: is it of a batch?"""
        for own, indices in self._known:
            if any(each is tensor for each in own):
                self.running = indices


def _inside(batch: Any) -> Any:
    return tensors(batch.values() if isinstance(batch, dict) else [batch])
