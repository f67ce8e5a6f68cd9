"""Makes a population of any ordinary nn.Module: its parameters stacked, its forward pass through torch.func.

For networks of one's own; what vgtemplate.nn has layers for is faster built of those.
"""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map

from vgtemplate.config.errors import UserError
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.draws import Draws, OwnNoise
from vgtemplate.nn.noise import Noise
from vgtemplate.nn.trial import why_not_at_once


class Population(nn.Module):
    """R networks of one architecture, each with its own weights, buffers and noise; made by `replicate`.

    Every parameter and buffer of `network` has the replica axis in front, under the name it has in the plain
    network. Random numbers drawn in the forward pass (dropout) are a function of (seed, step) alone, where the
    step is set by vgtemplate.nn.noise.set_step; torch's global generators are left as they were. Forward hooks on
    parts of `network` see vmap's tensors, which must not be kept.

    Shape: (R, B, ...) tensors to whatever the network returns, the replica axis in front of every tensor; of an object
    with `logits` these alone. Other arguments are passed on as they are.

    `vectorise` says whether the replicas run at once, through vmap, or one after the other; None until the first batch
    decides.
    """

    has_stacked_parameters = True
    """Tells callbacks that the replica axis is in the parameters only, not in what flows through the layers."""

    def __init__(self, network: nn.Module, seeds: Sequence[int], vectorise: bool | None) -> None:
        super().__init__()
        self.network = network
        self.seeds = tuple(seeds)
        self.vectorise = vectorise
        self.noise = Noise(seeds, layer=0)

    @property
    def num_replicas(self) -> int:
        """R."""
        return len(self.seeds)

    def replica(self, index: int) -> nn.Module:
        """Return a copy of one replica as the plain network that the factory built."""
        plain = copy.deepcopy(self.network)
        _replace(plain, {name: tensor.detach()[index].clone() for name, tensor in _tensors(plain).items()})
        return plain

    def forward(self, *inputs: Any) -> Any:
        for tensor in inputs:
            if isinstance(tensor, Tensor) and (tensor.dim() == 0 or len(tensor) != self.num_replicas):
                raise UserError(
                    f"an input of shape {tuple(tensor.shape)} for {self.num_replicas} replicas; "
                    f"allowed: ({self.num_replicas}, batch, ...)"
                )
        if self.vectorise is None:
            self.vectorise = self._decide(inputs)
        return self.run_at_once(inputs) if self.vectorise else self.run_in_turn(inputs)

    def _decide(self, inputs: tuple[Any, ...]) -> bool:
        """Say whether the replicas can run at once, by a trial; one network alone draws as it would beside others."""
        reason = why_not_at_once(self, inputs)
        if reason is not None and self.num_replicas > 1:
            name = type(self.network).__name__
            text = f"{name}: its {self.num_replicas} replicas run one after the other, since vmap cannot ({reason})"
            warnings.warn(text, stacklevel=2)
        return reason is None

    def copies(self, seeds: Sequence[int], vectorise: bool) -> Population:
        """Return a population of copies of the first replica, one per seed, without anybody's hooks."""
        with _hooks_out(self.network):
            network = copy.deepcopy(self.network)
        tensors = {name: tensor.detach()[:1] for name, tensor in _tensors(network).items()}
        _replace(network, {name: torch.cat([tensor] * len(seeds)) for name, tensor in tensors.items()})
        population = Population(network, seeds, vectorise).to(self.noise.keys.device)
        population.noise.step = self.noise.step
        return population

    def draws(self) -> Draws:
        """Return what each replica draws in the next forward pass."""
        return Draws(self.seeds, self.noise.step, self.noise.keys.device)

    def _call(self, state: dict[str, Tensor], *inputs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Return one replica's output, and those buffers that it replaced instead of changing them in place."""
        before = dict(state)
        output = functional_call(self.network, state, inputs)
        if not isinstance(output, Tensor):
            output = getattr(output, "logits", output)
        return output, {name: tensor for name, tensor in state.items() if tensor is not before[name]}

    def run_at_once(self, inputs: tuple[Any, ...]) -> Any:
        """Return all replicas' outputs, through vmap."""
        axes = [0 if isinstance(entry, Tensor) else None for entry in inputs]
        mapped = torch.vmap(self._call, in_dims=(0, *axes), randomness="different")
        try:
            with OwnNoise(self.draws()):
                output, replaced = mapped(_tensors(self.network), *inputs)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            if "vmap" not in reason and "Batching rule" not in reason:
                raise
            raise UserError(f"{reason.rstrip('.')}; give replicate(..., vectorise=False)") from error
        for name, tensor in replaced.items():
            self.network.get_buffer(name).copy_(tensor.detach())
        return output

    def run_in_turn(self, inputs: tuple[Any, ...]) -> Any:
        """Return all replicas' outputs, computed one after the other."""
        draws = self.draws()
        state = {name: tensor.unbind() for name, tensor in _tensors(self.network).items()}
        outputs = []
        for replica in range(self.num_replicas):
            own_state = {name: tensors[replica] for name, tensors in state.items()}
            own_inputs = [entry[replica] if isinstance(entry, Tensor) else entry for entry in inputs]
            with draws.of(replica):
                output, replaced = self._call(own_state, *own_inputs)
            for name, tensor in replaced.items():
                self.network.get_buffer(name)[replica].copy_(tensor.detach())
            outputs.append(output)
        return tree_map(lambda *leaves: torch.stack(leaves), *outputs)


def replicate(factory: Callable[[], nn.Module], seeds: Sequence[int], *, vectorise: bool | None = None) -> Population:
    """Return a population of the networks that `factory` builds, one per seed, for any ordinary nn.Module.

    Replica r is what `factory()` returns under torch's global generator seeded from seeds[r] alone, so it is the
    same network whatever stands beside it; the global generator is left as it was.

    The replicas run at once, through torch.vmap, where a trial on copies shows that this can be done and that a replica
    gives the same whatever is beside it; else one after the other. vmap does not know recurrent layers (nn.RNN, nn.GRU,
    nn.LSTM), nn.RReLU, nor a forward pass that branches on a tensor's values or calls .item(). State outside parameters
    and buffers (a Python counter) is shared by all replicas.

    Args:
        vectorise: at once (True) or one after the other (False), without a trial; None: as the first batch shows.

    Raises:
        UserError: no seeds, or the factory returns no network, the same one twice, networks of different
            architectures, parameters that are lazy or not on the CPU, or draws its weights from another generator
            than torch's.
    """
    if not seeds:
        raise UserError("replicate needs at least one seed")
    networks = [_build(factory, seed) for seed in seeds]
    again = _build(factory, seeds[0])
    if len({id(network) for network in (*networks, again)}) <= len(networks):
        raise UserError("the factory returns the same network twice; it must build a new one at each call")
    for seed, network in zip(seeds, networks, strict=True):
        if _architecture(network) != _architecture(networks[0]):
            raise UserError(f"the factory's networks for seeds {seeds[0]} and {seed} differ in architecture")
    states = [_tensors(network) for network in networks]
    if not all(_same(tensor, states[0][name]) for name, tensor in _tensors(again).items()):
        raise UserError("the factory's network is not a function of torch's global generator alone")
    _replace(again, {name: torch.stack([state[name].detach() for state in states]) for name in states[0]})
    return Population(again, seeds, vectorise)


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def _hooks_out(network: nn.Module) -> Iterator[None]:
    """Within it, nobody watches the network: a copy of a hook would be a copy of whom it tells."""
    hooks = [(module, name, getattr(module, name)) for module in network.modules() for name in _HOOKS]
    try:
        for module, name, _ in hooks:
            setattr(module, name, OrderedDict())
        yield
    finally:
        for module, name, kept in hooks:
            setattr(module, name, kept)


def _build(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(derive(seed, Stream.WEIGHTS))
    try:
        network = factory()
    finally:
        generator.set_state(state)
    if not isinstance(network, nn.Module):
        raise UserError(f"the factory returns a {type(network).__name__}; it must build an nn.Module")
    for name, tensor in _tensors(network).items():
        if is_lazy(tensor) or tensor.device.type != "cpu":
            raise UserError(f"the factory's {name} is lazy or not on the CPU; build it there, then move the population")
    return network


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, each once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _architecture(network: nn.Module) -> object:
    """Return what all replicas must share: modules with their settings, and which names stand for which tensors."""
    first_names: dict[int, str] = {}
    tensors = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return repr(network), [
        (name, first_names.setdefault(id(tensor), name), tensor.shape, tensor.dtype, tensor.requires_grad)
        for name, tensor in tensors
    ]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _replace(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put other tensors in the place of the network's, wherever a tied one stands; buffers stay buffers."""
    new: dict[int, Tensor] = {}
    for name, old in _tensors(network).items():
        parameter = isinstance(old, nn.Parameter)
        new[id(old)] = nn.Parameter(tensors[name], old.requires_grad) if parameter else tensors[name]
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    for name, old in named:
        owner, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(owner), attribute, new[id(old)])
