"""Makes a population of any ordinary nn.Module: its parameters stacked, its forward pass through torch.func.

For networks of one's own; what vgtemplate.nn has layers for is faster built of those.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from vgtemplate.config.errors import UserError
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.noise import Noise


class Population(nn.Module):
    """R networks of one architecture, each with its own weights, buffers and noise; made by `replicate`.

    Every parameter and buffer of `network` has the replica axis in front, under the name it has in the plain
    network. Random numbers drawn in the forward pass (dropout) are a function of (seed, step) alone, where the
    step is set by vgtemplate.nn.noise.set_step; torch's global generators are left as they were. Forward hooks on
    parts of `network` see vmap's tensors, which must not be kept.

    Shape: (R, B, ...) tensors to whatever the network returns, the replica axis in front of every tensor. Other
    arguments are passed on as they are.
    """

    has_stacked_parameters = True
    """Tells callbacks that the replica axis is in the parameters only, not in what flows through the layers."""

    def __init__(self, network: nn.Module, seeds: Sequence[int], vectorise: bool) -> None:
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
        draws = _Draws(self.seeds, self.noise.step, self.noise.keys.device)
        return self._run_at_once(inputs, draws) if self.vectorise else self._run_in_turn(inputs, draws)

    def _call(self, state: dict[str, Tensor], *inputs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Return one replica's output, and those buffers that it replaced instead of changing them in place."""
        before = dict(state)
        output = functional_call(self.network, state, inputs)
        return output, {name: tensor for name, tensor in state.items() if tensor is not before[name]}

    def _run_at_once(self, inputs: tuple[Any, ...], draws: _Draws) -> Any:
        axes = [0 if isinstance(entry, Tensor) else None for entry in inputs]
        mapped = torch.vmap(self._call, in_dims=(0, *axes), randomness="different")
        try:
            with _OwnNoise(draws):
                output, replaced = mapped(_tensors(self.network), *inputs)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            if "vmap" not in reason and "Batching rule" not in reason:
                raise
            raise UserError(f"{reason.rstrip('.')}; give replicate(..., vectorise=False)") from error
        for name, tensor in replaced.items():
            self.network.get_buffer(name).copy_(tensor.detach())
        return output

    def _run_in_turn(self, inputs: tuple[Any, ...], draws: _Draws) -> Any:
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


def replicate(factory: Callable[[], nn.Module], seeds: Sequence[int], *, vectorise: bool = True) -> Population:
    """Return a population of the networks that `factory` builds, one per seed, for any ordinary nn.Module.

    Replica r is what `factory()` returns under torch's global generator seeded from seeds[r] alone, so it is the
    same network whatever stands beside it; the global generator is left as it was.

    torch.vmap does not know recurrent layers (nn.RNN, nn.GRU, nn.LSTM), nn.RReLU, nor a forward pass that branches
    on a tensor's values or calls .item(); give `vectorise=False` for these. Under vmap torch.randperm and the fused
    attention kernels of a GPU draw for all replicas from the first one's generator. State outside parameters and
    buffers (a Python counter) is shared by all replicas.

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


class _Draws:
    """Lends torch's global generators to one replica after the other; each goes on where it stopped."""

    def __init__(self, seeds: Sequence[int], step: int, device: torch.device) -> None:
        self.seeds = seeds
        self.step = step
        self.generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self.generators.append(torch.cuda.default_generators[index])
        self.states: dict[int, list[Tensor]] = {}

    @contextmanager
    def of(self, replica: int) -> Iterator[None]:
        """Within it, torch draws this replica's numbers."""
        saved = [generator.get_state() for generator in self.generators]
        if replica in self.states:
            self._set(self.states[replica])
        else:
            for generator in self.generators:
                generator.manual_seed(derive(self.seeds[replica], Stream.NOISE, 0, self.step))
        try:
            yield
        finally:
            self.states[replica] = [generator.get_state() for generator in self.generators]
            self._set(saved)

    def _set(self, states: list[Tensor]) -> None:
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)


class _OwnNoise(TorchDispatchMode):
    """Turns a random operation on R replicas into R operations, each on one replica's rows with its own generator.

    It stands below vmap, which puts the replica axis in front of whatever a random operation returns.
    """

    def __init__(self, draws: _Draws) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws = draws

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        num_replicas = len(self.draws.seeds)
        sizes = [size for size in map(_leading_size, args) if size is not None]
        if not sizes or sizes[0] % num_replicas or len(func._schema.returns) != 1:
            with self.draws.of(0):
                return func(*args, **kwargs)
        parts = []
        for replica in range(num_replicas):
            own = [_rows(entry, replica, num_replicas) for entry in args]
            with self.draws.of(replica):
                parts.append(func(*own, **kwargs))
        return args[0] if func._schema.is_mutable else torch.cat(parts)


def _leading_size(entry: Any) -> int | None:
    if isinstance(entry, Tensor):
        return entry.shape[0] if entry.dim() else None
    return entry[0] if isinstance(entry, (list, tuple)) and entry else None


def _rows(entry: Any, replica: int, num_replicas: int) -> Any:
    size = _leading_size(entry)
    if size is None:
        return entry
    rows = size // num_replicas
    if isinstance(entry, Tensor):
        return entry[replica * rows : (replica + 1) * rows]
    return [rows, *entry[1:]]
