"""Keras on torch: its optimisers are none of torch's, so each is given one of these, whose step is Keras's own."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch


def _nothing() -> None:
    return None


class StandIn(torch.optim.Optimizer):
    """An optimiser of Keras as torch's hooks see it."""

    def __init__(self, parameters: list[Any], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})
        self.apply: Callable[[], Any] = _nothing

    def step(self, closure: Any = None) -> Any:
        return self.apply()


def _is_in_use() -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "optimizers") and keras.backend.backend() == "torch"


def owned() -> set[int]:
    """Return the identities of what optimisers of Keras move; from here on torch's hooks are told of their steps."""
    if not _is_in_use():
        return set()
    keras = sys.modules["keras"]
    base: type[Any] = keras.optimizers.Optimizer
    if not any(issubclass(type(each), base) for each in gc.get_objects()):
        return set()
    _tell_of_steps(base)
    models = [
        each for each in gc.get_objects() if issubclass(type(each), keras.Model) and each.__dict__.get("optimizer")
    ]
    return {id(variable.value) for model in models for variable in model.trainable_variables}


def _tell_of_steps(base: type[Any]) -> None:
    apply = base.apply
    if hasattr(apply, "plain"):
        return
    stand_ins: WeakKeyDictionary[Any, StandIn] = WeakKeyDictionary()

    def told(self: Any, grads: Any, trainable_variables: Any = None) -> Any:
        if self not in stand_ins and trainable_variables:
            values = [variable.value for variable in trainable_variables]
            stand_ins[self] = StandIn(values, float(self.learning_rate))
        if self not in stand_ins:
            return apply(self, grads, trainable_variables)
        stand_in = stand_ins[self]
        stand_in.apply = lambda: apply(self, grads, trainable_variables)
        try:
            return stand_in.step()
        finally:
            stand_in.apply = _nothing

    told.plain = apply  # type: ignore[attr-defined]
    base.apply = told
