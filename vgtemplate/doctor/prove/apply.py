"""Puts a cure to work on a running training: at its network, before it first runs, and around its optimisers' steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from vgtemplate.doctor.keras import StandIn
from vgtemplate.doctor.prove.cure import Cure
from vgtemplate.doctor.prove.initial import initialise, orthogonal, redraw
from vgtemplate.doctor.prove.modules import (
    evaluate,
    group_norm,
    leaky,
    normalise_layers,
    rectify,
    register,
    standardise_inputs,
)

Optimizer = torch.optim.Optimizer
_FIRST_SCALE = 2.0**16
_ORIGINAL = torch.autograd.backward


class AtWork:
    """A cure at work.

    Args:
        cure: None: the training is left as it is.
        seed: what it draws is drawn from.
    """

    def __init__(self, cure: Cure | None, seed: int) -> None:
        self.cure, self._seed = cure, seed
        self.failure = ""
        """Why it could not be applied."""
        self._network: nn.Module | None = None
        self._handles: list[Any] = []
        self._steps = 0
        self._rates: list[tuple[dict[str, Any], Any]] = []
        self._scale = _FIRST_SCALE
        self._is_scaled = False

    @property
    def is_bfloat16(self) -> bool:
        """Whether autocast is to be changed (`in_bfloat16`)."""
        return self.cure is not None and self.cure.kind == "bfloat16"

    def start(self) -> None:
        """From here on; before anybody else watches the optimisers."""
        if self.cure is None:
            return
        self._handles = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]
        if self.cure.kind == "scale-loss":
            torch.autograd.backward = self._backward

    def stop(self) -> None:
        """Until here."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        torch.autograd.backward = _ORIGINAL

    def found(self, network: nn.Module) -> None:
        """This is the network, and it has not run yet."""
        self._network = network
        if self.cure is None or self.cure.kind not in _AT_NETWORK:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self.failure = "" if _AT_NETWORK[self.cure.kind](network, self.cure) else _NO_PLACE

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        cure = self.cure
        assert cure is not None
        factor = 1.0
        if cure.kind == "rate":
            factor = cure.number
        elif cure.kind == "warm-up":
            factor = min(1.0, (self._steps + 1) / cure.number)
        elif cure.kind == "clip":
            torch.nn.utils.clip_grad_norm_([each for each in _moved(optimizer) if each.grad is not None], cure.number)
        elif cure.kind in ("own", "register"):
            self._own(optimizer, cure)
        elif cure.kind == "scale-loss":
            self._unscale(optimizer)
        if factor != 1.0 and isinstance(optimizer, StandIn):
            self.failure = "Keras has the learning rate elsewhere"
        elif factor != 1.0:
            # For this step only: a schedule counts from what it has set itself.
            self._rates = [(group, group["lr"]) for group in optimizer.param_groups]
            for group, rate in self._rates:
                group["lr"] = rate * factor

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for group, rate in self._rates:
            group["lr"] = rate
        self._rates = []
        self._steps += 1
        if self.cure is not None and self.cure.kind == "clear":
            optimizer.zero_grad()

    def _own(self, optimizer: Optimizer, cure: Cure) -> None:
        """Hand an optimiser what it lacks: the parameters of the finding, or all that were registered."""
        if self._network is None or self._steps:
            return
        known = {id(each) for each in _moved(optimizer)}
        named = dict(self._network.named_parameters()).items()
        missing = [
            each for name, each in named if id(each) not in known and (cure.kind == "register" or name in cure.where)
        ]
        if missing:
            optimizer.add_param_group({"params": missing})

    def _backward(self, tensors: Any, *args: Any, **kwargs: Any) -> Any:
        is_plain = (not args or args[0] is None) and kwargs.get("grad_tensors") is None
        self._is_scaled = isinstance(tensors, Tensor) and tensors.numel() == 1 and is_plain
        return _ORIGINAL(tensors * self._scale if self._is_scaled else tensors, *args, **kwargs)

    def _unscale(self, optimizer: Optimizer) -> None:
        if not self._is_scaled:
            return
        gradients = [each.grad for each in _moved(optimizer) if each.grad is not None]
        if all(bool(each.isfinite().all()) for each in gradients):
            torch._foreach_div_(gradients, self._scale)
        else:
            # As GradScaler does: this step is left out, the next one is scaled less.
            self._scale /= 2
            for parameter in _moved(optimizer):
                parameter.grad = None


_NO_PLACE = "the network has no place for it"


def _moved(optimizer: Optimizer) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


_AT_NETWORK: dict[str, Callable[[nn.Module, Cure], int]] = {
    "initialise": lambda network, cure: initialise(network, dict(cure.layers)),
    "redraw": lambda network, cure: redraw(network, cure.where),
    "orthogonal": lambda network, cure: orthogonal(network, cure.where),
    "normalise-layers": lambda network, cure: normalise_layers(network, cure.where),
    "standardise-inputs": lambda network, cure: standardise_inputs(network, cure.where),
    "evaluate": lambda network, cure: evaluate(network, cure.where),
    "group-norm": lambda network, cure: group_norm(network, cure.where),
    "leaky": lambda network, cure: leaky(network),
    "rectify": lambda network, cure: rectify(network) and initialise(network, dict(cure.layers)),
    "register": lambda network, cure: register(network),
}
"""By kind: changes a network, and returns at how many places."""


@contextmanager
def in_bfloat16(is_on: bool) -> Iterator[None]:
    """Within it, whoever asks autocast for float16 is given bfloat16."""
    autocast: Any = torch.amp.autocast_mode.autocast
    begin = autocast.__init__

    def instead(self: Any, device_type: str, dtype: Any = None, *args: Any, **kwargs: Any) -> None:
        begin(self, device_type, torch.bfloat16 if dtype in (None, torch.float16) else dtype, *args, **kwargs)

    if is_on:
        autocast.__init__ = instead
    try:
        yield
    finally:
        autocast.__init__ = begin
