"""The second implementation: a population's replicas as ordinary PyTorch networks, of torch.nn's modules only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from vgtemplate.config.network import ModelConfig

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "rrelu": nn.RReLU,
    "prelu": nn.PReLU,
    "prelu_unit": lambda: nn.PReLU(init=0.0),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}


class PlainLayer(nn.Module):
    """One hidden layer, its output added to its input where `residual` says so."""

    def __init__(self, config: ModelConfig, fan_in: int, width: int, stride: int, residual: bool) -> None:
        super().__init__()
        bias = config.bias != "none"
        images = config.kind == "cnn"
        self.linear = nn.Conv2d(fan_in, width, 3, stride, 1, bias=bias) if images else nn.Linear(fan_in, width, bias)
        norm: nn.Module = nn.Identity()
        if config.norm == "batch":
            norm = nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)
        elif config.norm == "layer":
            norm = nn.GroupNorm(1, width) if images else nn.LayerNorm(width)
        self.norm = norm
        per_unit = config.activation == "prelu_unit"
        self.activation = nn.PReLU(width, init=0.0) if per_unit else ACTIVATIONS[config.activation]()
        steps = [norm, self.activation] if config.norm_position == "before" else [self.activation, norm]
        self.branch = nn.Sequential(self.linear, *steps)
        self.subsample = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return self.subsample(x) + self.branch(x) if self.residual else self.branch(x)


class PlainNetwork(nn.Module):
    """An MLP or CNN without replica axis."""

    def __init__(self, config: ModelConfig, input_shape: Sequence[int], num_classes: int) -> None:
        super().__init__()
        images = config.kind == "cnn"
        fans = [input_shape[0] if images else input_shape.numel(), *config.widths()]
        starts = {config.depth * stage // config.num_stages for stage in range(config.num_stages)} - {0}
        self.layers = nn.Sequential(
            *(
                PlainLayer(config, a, b, 2 if images and i in starts else 1, config.residual and i > 0 and a == b)
                for i, (a, b) in enumerate(pairwise(fans))
            )
        )
        self.inlet = nn.Identity() if images else nn.Flatten()
        self.outlet = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) if images else nn.Identity()
        self.output = nn.Linear(fans[-1], num_classes, bias=config.bias != "none")

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.outlet(self.layers(self.inlet(x))))


class Plain:
    """R plain networks that start with the weights of a population, and the comparison of the two."""

    def __init__(self, population: nn.Module, config: ModelConfig, input_shape: Sequence[int], num_classes: int):
        self.population = population
        dtype = next(population.parameters()).dtype
        self.networks = [
            PlainNetwork(config, torch.Size(input_shape), num_classes).to(dtype)
            for _ in range(len(next(population.parameters())))
        ]
        with torch.no_grad():
            for ours, theirs in self._tensors():
                theirs.copy_(ours)

    def _tensors(self) -> Iterator[tuple[Tensor, Tensor]]:
        for replica, network in enumerate(self.networks):
            for ours, theirs in zip(self.population.hidden_layers, network.layers, strict=True):
                yield from _pairs(replica, ours.linear, theirs.linear)
                yield from _pairs(replica, ours.norm_before or ours.norm_after, theirs.norm)
                if isinstance(theirs.activation, nn.PReLU):
                    yield ours.activation.slope[replica].reshape(-1), theirs.activation.weight
            yield from _pairs(replica, self.population.output, network.output)

    def __call__(self, x: Tensor) -> Tensor:
        """(R, B, ...) -> (R, B, K)."""
        return torch.stack([network(images) for network, images in zip(self.networks, x, strict=True)])

    def train(self, mode: bool) -> None:
        for module in (self.population, *self.networks):
            module.train(mode)

    def assert_same_parameters(self, atol: float = 1e-9) -> None:
        """Parameters and running statistics, all of them."""
        pairs = list(self._tensors())
        num_parameters = sum(parameter.numel() for parameter in self.population.parameters())
        assert sum(ours.numel() for ours, theirs in pairs if isinstance(theirs, nn.Parameter)) == num_parameters
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)

    def assert_same_gradients(self, atol: float = 1e-9) -> None:
        """Gradients of all parameters: the population's are read from copies that hold them in the weights' place."""
        values = [parameter.detach().clone() for parameter in self.population.parameters()]
        with torch.no_grad():
            for parameter in self.population.parameters():
                parameter.copy_(parameter.grad)
            pairs = [(ours.clone(), theirs.grad) for ours, theirs in self._tensors() if theirs.requires_grad]
            for parameter, value in zip(self.population.parameters(), values, strict=True):
                parameter.copy_(value)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def _pairs(replica: int, ours: nn.Module | None, theirs: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """A population's tensor of one replica beside the plain module's; linear weights are (in, out) in a population."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(ours, name, None)
        if tensor is not None:
            transpose = name == "weight" and isinstance(theirs, nn.Linear)
            yield (tensor[replica].T if transpose else tensor[replica]), getattr(theirs, name)


@pytest.fixture
def plain() -> type[Plain]:
    """Makes the plain networks of a population: plain(population, config, input_shape, num_classes)."""
    return Plain


@pytest.fixture
def torch_activations() -> dict[str, Callable[[], nn.Module]]:
    """torch.nn's module of each catalogue row."""
    return ACTIVATIONS
