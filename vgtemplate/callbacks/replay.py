"""Runs a population once more for a probe and leaves no trace: on copies of its tensors, its noise and hooks restored.

It measures nothing itself, and never decides when a measurement is made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.func import functional_call

from vgtemplate.lightning import pl
from vgtemplate.nn.noise import current_step, set_step

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def alone(module: nn.Module, step: int) -> Iterator[None]:
    """Until the end of the block, take the hooks of all others out, and let the noise be that of a training step."""
    told = current_step(module)
    hooks = [(child, name, getattr(child, name)) for child in module.modules() for name in _HOOKS]
    try:
        for child, name, _ in hooks:
            setattr(child, name, OrderedDict())
        set_step(module, step)
        yield
    finally:
        set_step(module, told)
        for child, name, kept in hooks:
            setattr(child, name, kept)


class _Method(nn.Module):
    """Makes a module's method what torch.func calls."""

    def __init__(self, owner: nn.Module, name: str) -> None:
        super().__init__()
        self.owner = owner
        self.name = name

    def forward(self, *inputs: object) -> Tensor:
        result: Tensor = getattr(self.owner, self.name)(*inputs)
        return result


def call(module: pl.LightningModule, method: str, *inputs: object, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return a method's result with some parameters replaced, in the trainer's precision, on copies of the buffers.

    The module runs in the mode that it is in. `parameters` are tensors by the names of those in whose place they stand.
    """
    # Batch normalisation writes its running statistics into what it is given.
    tensors = {name: buffer.clone() for name, buffer in module.named_buffers()} | dict(parameters)
    named = {f"owner.{name}": tensor for name, tensor in tensors.items()}
    with module.trainer.precision_plugin.train_step_context():
        result: Tensor = functional_call(_Method(module, method), named, inputs)
    return result
