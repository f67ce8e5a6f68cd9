"""`diagnose`: train a network for some steps, look at everything, put it back as it was, and say what is wrong."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vgtemplate.doctor.examine import examine
from vgtemplate.doctor.observer import Observer
from vgtemplate.doctor.prove.apply import AtWork, in_bfloat16
from vgtemplate.doctor.prove.copies import Copy, Trial, seed_all
from vgtemplate.doctor.prove.proof import prove as prove_cures
from vgtemplate.doctor.prove.rewrites import REWRITES, Mode, Rewrite
from vgtemplate.doctor.report import Report
from vgtemplate.watching.optimisers import OptimiserHooks

Optimizer = torch.optim.Optimizer
Loss = Callable[[nn.Module, Any], Tensor]
Make = Callable[[], tuple[nn.Module, Optimizer | Iterable[Optimizer]]]
_TWICE = "backward through the graph a second time"


def diagnose(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Loss,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    steps: int = 50,
    prove: bool | Make = False,
) -> Report:
    """Train a network for some steps and report what is wrong with it; afterwards it is as it was before.

    Weights, buffers, gradients, the optimiser's state and the random generators are put back.

    With `prove` the cure of each finding is tried on copies: five as they are and five cured, `steps` each. It is
    proven, `report.findings[0].proof.is_proven`, where the symptom is gone in all five, and the loss no worse.

    Args:
        model: any network, in the mode (train or eval) in which it is to be trained.
        batches: begun again where they end before the steps do.
        loss: of the network and a batch, a scalar.
        optimizer: the one that moves it, or several, which step together; None: it is looked at, and does not move.
        steps: how many.
        prove: True: copies of this network, which differ in their batches' order and in what is drawn at random; a
            function that returns network and optimiser: it makes each copy anew, with other weights.

    Raises:
        ValueError: `steps` is below 1, there is no batch, or the loss is no scalar.
    """
    if steps < 1:
        raise ValueError(f"steps: {steps} is no number of steps; allowed: 1 and more")
    given = _listed(optimizer)
    moving = given or _standing_still(model)
    with _as_it_was(model, moving):
        report = _look(model, batches, loss, moving, steps, is_moved=bool(given))
    if prove and report.findings:
        make = prove if callable(prove) else lambda: copy.deepcopy((model, given))
        prove_cures(report, partial(_train_copies, make, batches, loss, steps))
    return report


def _look(
    model: nn.Module, batches: Iterable[Any], loss: Loss, moving: list[Optimizer], steps: int, is_moved: bool = True
) -> Report:
    """Train a network and report what was seen."""
    for module in list(model.modules()):
        if module.training and type(module).train is not nn.Module.train:
            # What a network does when it is put into training mode belongs to it: holding a frozen part in eval mode.
            module.train()
    observer = Observer(model)
    observer.evidence.is_moved = is_moved
    hooks = OptimiserHooks(observer, given=moving)
    hooks.set()
    try:
        for step, batch in zip(range(steps), _endless(batches), strict=False):
            try:
                _train_step(observer, model, batch, loss, moving)
            except RuntimeError as error:
                if _TWICE not in str(error):
                    raise
                # A graph that was kept from the step before: that is a finding, and the end of the training.
                observer.evidence.goes_back_twice = True
                observer.end(step)
                break
            observer.end(step)
    finally:
        hooks.remove()
        evidence = observer.conclude()
    report = Report()
    report.take(evidence, *examine(evidence))
    return report


def _train_copies(make: Make, batches: Iterable[Any], loss: Loss, steps: int, copies: Sequence[Copy]) -> list[Trial]:
    """Train copies, one after the other, since the doctor's rules look at one network."""
    return [_train_copy(make, batches, loss, steps, each) for each in copies]


def _train_copy(make: Make, batches: Iterable[Any], loss: Loss, steps: int, which: Copy) -> Trial:
    with _chance_as_it_was():
        seed_all(which.seed)
        work = AtWork(which.cure, which.seed)
        rewrites = [REWRITES[each.kind](each, each is not which.cure) for each in which.rewritten]
        work.start()
        try:
            model, optimizer = make()
            given = _listed(optimizer)
            work.found(model)
            own, cured = _from(which.seed, batches), partial(_in_modes, rewrites, loss)
            with in_bfloat16(work.is_bfloat16):
                report = _look(model, own, cured, given or _standing_still(model), steps, bool(given))
        except Exception as error:
            return Trial(failure=f"{type(error).__name__}: {error}")
        finally:
            work.stop()
    return Trial.of(report, rewrites, work.failure)


def _standing_still(model: nn.Module) -> list[Optimizer]:
    return [torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.0)]


def _listed(optimizer: Optimizer | Iterable[Optimizer] | None) -> list[Optimizer]:
    return [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer or ())


def _in_modes(rewrites: list[Rewrite], loss: Loss, model: nn.Module, batch: Any) -> Tensor:
    with ExitStack() as stack:
        for rewrite in rewrites:
            stack.enter_context(Mode(rewrite))
        return loss(model, batch)


def _from(seed: int, batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches without an end, from another one on for each seed."""
    yield from islice(_endless(batches), seed, None)


def _train_step(observer: Observer, model: nn.Module, batch: Any, loss: Any, optimizers: list[Optimizer]) -> None:
    def compute() -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad()
        observer.enter()
        try:
            value: Tensor = loss(model, batch)
        finally:
            observer.leave()
        if not isinstance(value, Tensor) or value.numel() != 1:
            what = (
                f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            )
            raise ValueError(f"loss: it returned {what}; allowed: a tensor with one value")
        observer.before_backward(value)
        value.backward()
        return value

    observer.begin(optimizers)
    if any(isinstance(each, torch.optim.LBFGS) for each in optimizers):
        optimizers[0].step(compute)  # type: ignore[arg-type]
        return
    compute()
    for optimizer in optimizers:
        optimizer.step()


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        is_empty = True
        for batch in batches:
            is_empty = False
            yield batch
        if is_empty:
            raise ValueError("batches: there is none; if they are a generator, give a list or a DataLoader")


@contextmanager
def _as_it_was(model: nn.Module, optimizers: list[Optimizer]) -> Iterator[None]:
    """Put network, optimisers and random generators back at the end."""
    tensors = [each for each in (*model.parameters(), *model.buffers()) if not is_lazy(each)]
    values = [(each, each.detach().clone()) for each in tensors]
    gradients = [(each, None if each.grad is None else each.grad.clone()) for each in model.parameters()]
    states = [copy.deepcopy(each.state_dict()) for each in optimizers]
    modes = [(each, each.training) for each in model.modules()]
    try:
        with _chance_as_it_was():
            yield
    finally:
        with torch.no_grad():
            for tensor, value in values:
                tensor.copy_(value)
        for module, is_training in modes:
            module.training = is_training
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(state)


@contextmanager
def _chance_as_it_was() -> Iterator[None]:
    """Put the random generators back at the end."""
    chance = random.getstate(), np.random.get_state(), torch.get_rng_state(), _cuda_states()
    try:
        yield
    finally:
        random.setstate(chance[0])
        np.random.set_state(chance[1])
        torch.set_rng_state(chance[2])
        if chance[3]:
            torch.cuda.set_rng_state_all(chance[3])


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
