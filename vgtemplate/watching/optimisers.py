"""Tells a watcher of every optimiser that moves its network, however it is called: through torch's own hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from vgtemplate.watching.watcher import Watcher

Optimizer = torch.optim.Optimizer


class OptimiserHooks:
    """While they are set, a watcher sees the steps of those optimisers that have a weight of its network.

    Args:
        stepped: called after each of their steps.
        given: optimisers that are seen whatever they have.
    """

    def __init__(
        self,
        watcher: Watcher,
        stepped: Callable[[Optimizer], None] = lambda optimizer: None,
        given: Iterable[Optimizer] = (),
    ) -> None:
        self._watcher, self._stepped = watcher, stepped
        self._ours: WeakSet[Optimizer] = WeakSet(given)
        self._handles: list[Any] = []
        self._running: list[Optimizer] = []
        self._inner: Optimizer | None = None

    def set(self) -> None:
        """Put the hooks in."""
        if not self._handles:
            self._handles = [
                register_optimizer_step_pre_hook(self.before),
                register_optimizer_step_post_hook(self.after),
            ]

    def remove(self) -> None:
        """Take the hooks out."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._running = [], []

    def _is_ours(self, optimizer: Optimizer) -> bool:
        if optimizer in self._ours:
            return True
        ours = {id(parameter) for parameter in self._watcher.model.parameters()}
        if any(id(parameter) in ours for group in optimizer.param_groups for parameter in group["params"]):
            # Kept, since it is asked at each step: to go through a large network takes milliseconds.
            self._ours.add(optimizer)
        return optimizer in self._ours

    def before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As torch calls a hook before a step; return what the step is to be called with instead, or None."""
        if optimizer not in self._ours and not self._watcher.guard(self._is_ours, optimizer):
            return None
        self._running.append(optimizer)
        self._inner = None
        if not self._watcher.is_looking:
            return None
        closure = kwargs.get("closure") if len(args) < 2 else args[1]
        if closure is None:
            self._watcher.before_step(optimizer)
            return None
        watched = self._watcher.with_closure(optimizer, closure)
        return (args, {**kwargs, "closure": watched}) if len(args) < 2 else ((args[0], watched, *args[2:]), kwargs)

    def after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """As torch calls a hook after a step."""
        if optimizer not in self._running:
            return
        del self._running[self._running.index(optimizer) :]
        # An optimiser that wraps another has been seen as that one.
        if self._inner is None:
            if self._watcher.is_looking:
                self._watcher.after_step(optimizer)
            self._stepped(optimizer)
        self._inner = optimizer if self._running else None
