"""`diagnose`: train a network for some steps, look at everything, put it back as it was, and say what is wrong."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vgtemplate.doctor.examine import examine
from vgtemplate.doctor.observer import Observer
from vgtemplate.doctor.report import Report
from vgtemplate.watching.optimisers import OptimiserHooks

Optimizer = torch.optim.Optimizer
_TWICE = "backward through the graph a second time"


def diagnose(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Callable[[nn.Module, Any], Tensor],
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    steps: int = 50,
) -> Report:
    """Train a network for some steps and report what is wrong with it; afterwards it is as it was before.

    Weights, buffers, gradients, the optimiser's state and the random generators are put back.

    Args:
        model: any network, in the mode (train or eval) in which it is to be trained.
        batches: begun again where they end before the steps do.
        loss: of the network and a batch, a scalar.
        optimizer: the one that moves it, or several, which step together; None: it is looked at, and does not move.
        steps: how many.

    Raises:
        ValueError: `steps` is below 1, there is no batch, or the loss is no scalar.
    """
    if steps < 1:
        raise ValueError(f"steps: {steps} is no number of steps; allowed: 1 and more")
    given = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer or ())
    moving = given or [torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.0)]
    observer = Observer(model)
    observer.evidence.is_moved = bool(given)
    hooks = OptimiserHooks(observer, given=moving)
    with _as_it_was(model, moving):
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
    if model.training and type(model).train is not nn.Module.train:
        # What a network does when it is put into training mode belongs to it: holding a frozen part in eval mode.
        model.train()
    chance = random.getstate(), np.random.get_state(), torch.get_rng_state(), _cuda_states()
    try:
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
        random.setstate(chance[0])
        np.random.set_state(chance[1])
        torch.set_rng_state(chance[2])
        if chance[3]:
            torch.cuda.set_rng_state_all(chance[3])


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
