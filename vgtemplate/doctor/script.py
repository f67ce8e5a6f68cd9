"""Watches whatever network the running script trains, from its first forward pass, through torch's global hooks."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from vgtemplate.config.errors import Enough
from vgtemplate.doctor import keras
from vgtemplate.doctor.examine import examine
from vgtemplate.doctor.loop import is_due
from vgtemplate.doctor.network import find_network, find_optimisers, has_optimisers, moved_by, parts
from vgtemplate.doctor.observer import Observer
from vgtemplate.doctor.report import Report
from vgtemplate.watching.loop import Loop

Optimizer = torch.optim.Optimizer
_SETTLED = 10
"""After so many steps it is known what the script trains."""


class ScriptWatch:
    """Watches a script's training for some steps.

    Args:
        steps: how many.
        told: is given the report when it is complete.
        stops: whether the script ends then.
        found: is given the network when it is known, before it runs.
    """

    def __init__(
        self,
        steps: int,
        told: Callable[[Report], None],
        stops: bool = False,
        found: Callable[[nn.Module], None] | None = None,
    ) -> None:
        self.report = Report()
        self.num_steps = 0
        """How often any optimiser has stepped while it was watched."""
        self._steps, self._told, self._stops, self._found = steps, told, stops, found
        self._forward: Any = None
        self._stepping: list[Any] = []
        self._loop: Loop | None = None
        self._observer: Observer | None = None
        self._parts: dict[int, set[int]] = {}
        self._moved: WeakSet[Optimizer] = WeakSet()
        self._left_out: set[int] = set()
        self._strangers: set[int] = set()
        """Modules, by identity, of which no optimiser has anything."""
        self._copies: list[weakref.ref[nn.Module]] = []
        """Those of them that run and could be trained: one may be a copy of what an optimiser has, or the other way."""
        self._stepped: set[int] = set()
        """Identities of the parameters of the optimisers that have stepped while no network was known."""
        self._is_copy = self._is_over = False

    def start(self) -> None:
        """From here on."""
        # A network that is compiled is found from outside of it, and the hook is gone before it is compiled.
        warnings.filterwarnings("ignore", message=r"Using `torch.compile\(module\)` when there are global hooks")
        self._stepping = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self._look_out()
        os.register_at_fork(after_in_child=self._leave_alone)

    def _look_out(self) -> None:
        self._forward = register_module_forward_pre_hook(self._before_forward)

    def _before_forward(self, module: nn.Module, args: Any) -> None:
        # On the device "meta" shapes are worked out, nothing else.
        if not torch.is_grad_enabled() or any(isinstance(x, torch.Tensor) and x.is_meta for x in args):
            return
        known = set(module._forward_pre_hooks)
        self._guard(self._find_by, module)
        # Torch has listed the hooks of this call already.
        for number, hook in list(module._forward_pre_hooks.items()):
            if number not in known:
                hook(module, args)

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._loop is None and (len(args) > 1 or kwargs.get("closure") is not None):
            # The forward pass is in the closure; with it the step has begun already.
            self._guard(self._find, lambda: moved_by(optimizer))
        return None if self._loop is None else self._loop.hooks.before(optimizer, args, kwargs)

    def _after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.num_steps += 1
        if self._loop is not None:
            self._loop.hooks.after(optimizer, args, kwargs)
        elif self.num_steps <= _SETTLED:
            # No module was called that it moves: where forward() is called by its name, torch calls no hook. Not for
            # ever, since to look through the memory takes time, and what moves images alone has no network.
            self._guard(self._find, lambda: moved_by(optimizer), False)
        if self._loop is None:
            self._guard(self._find_copied, optimizer)
        if self._observer is not None and not self._is_copy and self.num_steps <= _SETTLED:
            self._guard(self._check, optimizer, self._observer)

    def _guard(self, function: Callable[..., None], *args: Any) -> None:
        """Call what may go wrong: then the doctor leaves the script alone, and says so in the report."""
        if self._is_over:
            return
        try:
            function(*args)
        except Exception as error:
            self.report.notes.append(f"the doctor has withdrawn ({type(error).__name__}: {error})")
            self._leave_alone()

    def _find_by(self, module: nn.Module) -> None:
        """Look for the network at a module's call: once per module, which takes time, unless it is moved by now."""
        if id(module) in self._strangers and not any(id(each) in self._stepped for each in module.parameters()):
            return
        self._find(module.parameters)
        if self._loop is None and has_optimisers():
            self._strangers |= {id(each) for each in module.modules()}
            if any(each.requires_grad for each in module.parameters()):
                self._copies.append(weakref.ref(module))

    def _find_copied(self, optimizer: Optimizer) -> None:
        """Watch what has run if its parameters have gradients and the optimiser's have none, which are copies then."""
        self._stepped |= {id(each) for each in moved_by(optimizer)}
        if any(each.grad is not None for each in moved_by(optimizer)):
            return
        modules = [module for each in self._copies if (module := each()) is not None]
        reached = [each for module in modules for each in module.parameters() if each.grad is not None]
        if reached:
            self._find(lambda: reached, False, optimizer)

    def _find(
        self, near: Callable[[], Iterable[Any]], is_called: bool = True, of_copy: Optimizer | None = None
    ) -> None:
        """Look for the network of which some parameters are near, and some an optimiser's, but for that of a copy."""
        owned = keras.owned()
        if has_optimisers():
            owned |= {id(each) for optimiser in find_optimisers() for each in moved_by(optimiser)}
        close = {id(each) for each in near()} if owned else set()
        network = find_network(close, owned if of_copy is None else close, self._left_out)
        if network is None:
            return
        self._is_copy = of_copy is not None
        self._forward.remove()
        self._parts = {id(part): {id(each) for each in part.parameters()} for part in parts(network)}
        if self._found is not None:
            self._found(network)
        self._observer = Observer(network)
        self._observer.held = owned
        given = [] if of_copy is None else [of_copy]
        self._loop = Loop(self._observer, given, self._is_due, stays=True, is_called=is_called)
        self._loop.start(sets_hooks=False)

    def _is_due(self, step: int) -> bool | str:
        if step >= self._steps:
            self._conclude()
        return False if self._is_over else is_due(step)

    def _check(self, optimizer: Optimizer, observer: Observer) -> None:
        """See whether the network is what is trained: else it is found anew at the next forward pass."""
        is_second = optimizer in self._moved
        self._moved.add(optimizer)
        moves, known = {id(each) for each in moved_by(optimizer)}, set().union(*self._parts.values())
        busy = {id(each) for one in self._moved for each in moved_by(one)} | observer.trace.used
        idle = {part for part, parameters in self._parts.items() if not parameters & busy}
        is_another = bool(moves) and not moves & known
        if is_another or (is_second and idle):
            self._left_out |= set() if is_another else idle
            self._stop()
            self._look_out()

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.stop()
        self._loop = self._observer = None

    def _conclude(self) -> None:
        observer = self._observer
        self._guard(self._judge, observer)
        self._leave_alone()
        self._told(self.report)
        if self._stops:
            raise Enough

    def _judge(self, observer: Observer | None) -> None:
        if observer is not None:
            evidence = observer.conclude()
            findings, notes = examine(evidence)
            self.report.take(evidence, findings, self.report.notes + notes)

    def _leave_alone(self) -> None:
        """Also in a process that the script has forked."""
        self._is_over = True
        self._forward.remove()
        self._stop()

    def end(self) -> Report:
        """The script has ended; return what was seen."""
        self._stops = False
        if not self._is_over:
            self._conclude()
        for handle in self._stepping:
            handle.remove()
        return self.report
