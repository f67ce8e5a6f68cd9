"""Watches the training loop that one has written oneself, or that a library runs: plain PyTorch, Fabric, a Trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vgtemplate.watching.measurements import Measurements
from vgtemplate.watching.optimisers import OptimiserHooks
from vgtemplate.watching.watcher import LOOKS, SCRIPTED, Watcher, foreign_modes

Optimizer = torch.optim.Optimizer


@contextmanager
def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    every: int = 10,
    looks: Iterable[str] = LOOKS,
) -> Iterator[Measurements]:
    """Watch a network within the block: `with watch(model, optimizer) as seen: ...`, then `seen.series()`.

    A step is over when each optimiser has stepped. What was seen of it is there at once: `seen.series()` has arrays
    (1, S, L) of S watched steps and L layers (R for a population of `replicate`), `seen.layers` their names,
    `seen.notes` what cannot be seen, and why. The training ends with the same weights as without, bit for bit.

    Args:
        model: any network; only what its modules compute is seen, not what the loop itself does with its parameters.
        optimizer: the one that moves it, or several; None: all that do.
        every: watch each so many steps, from the first.
        looks: what to look at: "gradients", "signals", "weights".

    Raises:
        ValueError: `every` is below 1, or `looks` has another word.
    """
    if every < 1:
        raise ValueError(f"every: {every} is no number of steps; allowed: 1 and more")
    if unknown := set(looks) - set(LOOKS):
        raise ValueError(f"looks: {', '.join(sorted(map(repr, unknown)))}; allowed: {', '.join(LOOKS)}")
    given = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer or ())
    loop = Loop(Watcher(model, Measurements(), looks), given, lambda step: step % every == 0)
    loop.start()
    try:
        yield loop.watcher.measurements
    finally:
        loop.stop()


class Loop:
    """Says to a watcher when a step begins and when it ends, which nobody says in a plain loop."""

    def __init__(
        self,
        watcher: Watcher,
        optimizers: list[Optimizer],
        is_due: Callable[[int], bool | str],
        stays: bool = False,
        is_called: bool = True,
    ) -> None:
        """Begin nothing yet.

        Args:
            optimizers: those that are watched, whatever they have; none: all that have a weight of the network.
            is_due: says of a step, counted from 0, whether it is watched, or whether it is "briefly".
            stays: what is computed after the forward pass is seen as well, as a loss is.
            is_called: False where methods of the modules are called by name: all of a step is seen then.
        """
        self.watcher = watcher
        self._known, self._given = list(optimizers), bool(optimizers)
        self._is_due, self._stays, self._is_called = is_due, stays, is_called
        self._counts: dict[Optimizer, int] = {}
        self._stepped: list[Optimizer] = []
        self.hooks = OptimiserHooks(watcher, self._note_step, optimizers)
        self._forwards: list[Any] = []
        self._called: set[nn.Module] = set()
        self._depth = 0
        self._first = 0

    def start(self, sets_hooks: bool = True) -> None:
        """Begin with the step at hand.

        Args:
            sets_hooks: False where whoever has made it calls its `hooks` at each optimiser's step.
        """
        if sets_hooks:
            self.hooks.set()
        self._begin(briefly=False)

    def stop(self) -> None:
        """Let go, also within an optimiser's step where its hooks were not set."""
        self.hooks.remove()
        self._finish_forwards()
        self.watcher.drop()

    @property
    def _step(self) -> int:
        """How often the first optimiser has stepped."""
        return self._counts.get(self._known[0], 0) if self._known else 0

    def _begin(self, briefly: bool) -> None:
        self._first, self._stepped = self._step, []
        self.watcher.begin(self._known, briefly)
        self.watcher.guard(self._hook_forwards, briefly)
        if not self._is_called:
            self.watcher.guard(self.watcher.enter)

    def _hook_forwards(self, briefly: bool) -> None:
        if not self.watcher.sees_flow:
            return
        if briefly and self._called:
            # What follows where the loop has been seen to call the network is all that is to be heard.
            self._forwards = [module.register_forward_hook(self._after_call) for module in self._called]
            return
        if not briefly and self.watcher.tell_of_calls(self._before_forward, self._after_forward):
            return
        for module in self.watcher.model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                self.watcher.measurements.note(SCRIPTED)
                continue
            self._forwards += [
                module.register_forward_pre_hook(self._before_forward),
                module.register_forward_hook(self._after_forward, always_call=True),
            ]

    def _after_call(self, *_: object) -> None:
        if self._stays and torch.is_grad_enabled() and not foreign_modes():
            self.watcher.enter()

    def _finish_forwards(self) -> None:
        for handle in self._forwards:
            handle.remove()
        self._forwards, self._depth = [], 0

    def _before_forward(self, module: nn.Module, _: object) -> None:
        # What is computed without gradients is no part of a step: a validation, the generator's share of a GAN.
        if self._depth == 0 and torch.is_grad_enabled():
            self._called.add(module)
            self.watcher.enter()
        self._depth += 1

    def _after_forward(self, *_: object) -> None:
        self._depth -= 1
        # Where a mode was entered before ours, it is left before ours is, which would then be taken for it.
        if self._depth == 0 and not (self._stays and not foreign_modes()):
            self.watcher.leave()

    def _note_step(self, optimizer: Optimizer) -> None:
        if optimizer not in self._known:
            if self._given:
                return
            self._known.append(optimizer)
        self._counts[optimizer] = self._counts.get(optimizer, 0) + 1
        self._stepped.append(optimizer)
        if self.watcher.is_looking and not set(self._known) <= set(self._stepped):
            return
        if self.watcher.is_looking or self._forwards:
            self._finish_forwards()
            self.watcher.end(self._first)
        if due := self._is_due(self._step):
            self._begin(briefly=due == "briefly")
