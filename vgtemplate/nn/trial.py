"""Whether the networks of a population can run at once: tried on copies, forward and backward, with a real batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from vgtemplate.nn.replicate import Population

_TOLERANCE = 0.01
"""Of the largest entry; what is no rounding, such as a random number of another replica, differs by far more."""


def why_not_at_once(population: Population, inputs: tuple[Any, ...]) -> str | None:
    """Return why vmap cannot run a population; None where it can, and a replica gives the same whatever is beside it.

    Nothing of the population changes, its buffers and the global generators included.

    Raises:
        Exception: whatever the network raises on this batch when it runs by itself.
    """
    # What is asked for first may be an evaluation, in whose mode no tensor could be differentiated.
    with torch.inference_mode(False), torch.enable_grad(), population.draws().of(0):
        two, one = (tuple(_repeated(entry, times) for entry in inputs) for times in (2, 1))
        seed = population.seeds[0]
        try:
            # Equal but for their seeds, of which only random numbers depend; so one network can be tried as well.
            pair, single = (
                population.copies([seed + 1, seed], vectorise=True),
                population.copies([seed], vectorise=True),
            )
            found = [tensors for training in (True, False) for tensors in _passed(pair, two, training)]
            expected = [tensors for training in (True, False) for tensors in _passed(single, one, training)]
            alike = all(_alike([each[1:2] for each in a], b) for a, b in zip(found, expected, strict=True))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # nor vmap nor what cannot be copied says which errors it leads to
            reason = str(error.__cause__ or error).strip() or type(error).__name__
            # What is wrong with or without vmap is the network's own mistake.
            _passed(population.copies([seed], vectorise=False), one, training=True)
            return reason.splitlines()[0].removeprefix("vmap: ").rstrip(".")[:100]
    return None if alike else "a replica's result depends on those beside it, as where one draws for all"


def _repeated(entry: Any, times: int) -> Any:
    """Return the first replica's input so many times."""
    return torch.cat([entry[:1]] * times) if isinstance(entry, Tensor) else entry


def _passed(population: Population, inputs: tuple[Any, ...], training: bool) -> list[list[Tensor]]:
    """Return the outputs; then, of a pass of training, the gradients, and the buffers that it left."""
    population.train(training)
    outputs = [leaf for leaf in tree_leaves(population(*inputs)) if isinstance(leaf, Tensor)]
    if not training:
        return [outputs]
    scored = [leaf.float().square().sum() for leaf in outputs if leaf.requires_grad and leaf.is_floating_point()]
    if scored:
        torch.stack(scored).sum().backward()
    gradients = [weight.grad for weight in population.parameters() if weight.grad is not None]
    return [outputs, gradients, [buffer for buffer in population.buffers() if buffer.is_floating_point()]]


def _alike(found: list[Tensor], expected: list[Tensor]) -> bool:
    """Say whether two lists of tensors are equal, but for a small part of the largest entry of all."""
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
        return False
    finite = [tensor.detach().abs().nan_to_num(posinf=0.0).amax() for tensor in expected if tensor.numel()]
    scale = float(torch.stack([each.double() for each in finite]).amax()) if finite else 0.0
    return all(
        torch.allclose(a.double(), b.double(), rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)
        for a, b in zip(found, expected, strict=True)
    )
