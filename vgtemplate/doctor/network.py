"""Which network a script trains, found while it runs: the modules whose parameters its optimisers have."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

Optimizer = torch.optim.Optimizer
_WRAPPERS = ("torch.nn.parallel.", "lightning.fabric.", "lightning_fabric.")
"""Where what stands around a network, and has nothing of its own, comes from."""

_NOT_THEIRS = ("torch.", "vgtemplate.")


def has_optimisers() -> bool:
    """Say whether any torch optimiser was ever made, without looking through the memory."""
    kinds, found = [Optimizer], False
    while kinds and not found:
        kind = kinds.pop()
        found = bool(getattr(kind.step, "hooked", False))
        kinds += kind.__subclasses__()
    return found


def find_optimisers() -> list[Optimizer]:
    """Return the optimisers in memory that step themselves, rather than by another that they wrap."""
    # The type of an object is asked, never the object: some answer by loading what they stand for.
    return [
        each for each in gc.get_objects() if issubclass(type(each), Optimizer) and hasattr(type(each).step, "hooked")
    ]


class Several(nn.ModuleDict):
    """Networks that no module of theirs holds together."""


def moved_by(optimizer: Optimizer) -> list[Any]:
    """Return the parameters that an optimiser has."""
    return [each for group in optimizer.param_groups for each in group["params"]]


def decay_rates(optimizer: Any) -> list[tuple[float, float]]:
    """Return, by group, which share of the running means of gradients and of their squares stays from step to step.

    Of squares it is 1 where none are kept, as under SGD with momentum.
    """
    found = []
    for group in optimizer.param_groups:
        betas, momentum = group.get("betas"), group.get("momentum")
        if isinstance(betas, (tuple, list)) and len(betas) == 2:
            found.append((float(betas[0]), float(betas[1])))
        elif isinstance(momentum, (int, float)):
            found.append((float(momentum), 1.0))
    return found


def find_network(near: set[int], owned: set[int], left_out: Iterable[int] = ()) -> nn.Module | None:
    """Return the network that has some parameters; several that are trained beside each other as one.

    Args:
        near: identities of the parameters of what runs or is moved at this moment.
        owned: identities of the parameters that optimisers have.
        left_out: identities of modules that are no part of it.

    Returns:
        None where no optimiser has any of its parameters.
    """
    if not near or not owned:
        return None
    kinds = (each for each in gc.get_objects() if issubclass(type(each), nn.Module))
    modules = [each for each in kinds if type(each) is not Several]
    inside = {id(child) for each in modules for child in each.__dict__.get("_modules", {}).values()}
    inside |= set(left_out)
    whole = [each for each in modules if id(each) not in inside]
    trained = {id(each): {id(parameter) for parameter in each.parameters()} & owned for each in whole}
    # Of two that share their parameters the one that runs counts, then the larger one.
    around = [each for each in whole if any(id(parameter) in near for parameter in each.parameters())]
    if not any(trained[id(each)] for each in around):
        return None
    others = sorted((each for each in whole if each not in around), key=lambda each: -len(trained[id(each)]))
    chosen: list[nn.Module] = []
    told: set[int] = set()
    for each in sorted(around, key=lambda each: -len(trained[id(each)])) + others:
        if trained[id(each)] - told:
            chosen.append(_unwrapped(each))
            told |= trained[id(each)]
    return chosen[0] if len(chosen) == 1 else Several(_named(chosen))


def parts(network: nn.Module) -> list[nn.Module]:
    """Return the networks that `find_network` has made one of."""
    return list(network.values()) if isinstance(network, Several) else [network]


def _unwrapped(module: nn.Module) -> nn.Module:
    while type(module).__module__.startswith(_WRAPPERS) and (child := next(module.children(), None)) is not None:
        module = child
    return module


def _named(modules: list[nn.Module]) -> dict[str, nn.Module]:
    """Name modules as the running code does, else by their class."""
    names: dict[int, str] = {}
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_NOT_THEIRS):
            frame = frame.f_back
            continue
        for name, value in list(frame.f_locals.items()):
            if name.isidentifier() and any(value is each for each in modules):
                names.setdefault(id(value), name)
        frame = frame.f_back
    found: dict[str, nn.Module] = {}
    for module in modules:
        wanted = names.get(id(module), type(module).__name__.lower())
        while wanted in found or hasattr(nn.ModuleDict, wanted):
            wanted += "_"
        found[wanted] = module
    return found
