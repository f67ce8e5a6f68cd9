"""Parameters that a module holds and does not know, kept as what was made of them: `nn.Parameter(...).unsqueeze(0)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

_OWN = ("_parameters", "_buffers", "_modules")
_STEPS = 8


def hidden(modules: Mapping[str, nn.Module], known: set[int]) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Return name and shape of each parameter behind a module's plain attributes that the network does not have, by id.

    Args:
        known: identities of those that it has.
    """
    found = {}
    for name, module in modules.items():
        for key, value in vars(module).items():
            if key not in _OWN and isinstance(value, Tensor) and value.requires_grad:
                for leaf in _parameters(value):
                    if id(leaf) not in known:
                        found[id(leaf)] = f"{name}.{key}".strip("."), tuple(leaf.shape)
    return found


def _parameters(value: Tensor) -> Iterator[Any]:
    """Yield the parameters that a tensor was made of in a few steps."""
    queue = [value.grad_fn]
    for _ in range(_STEPS):
        node = queue.pop(0) if queue else None
        if node is None:
            continue
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, nn.Parameter):
            yield leaf
        queue += [following for following, _ in node.next_functions]
