"""A population against R plain PyTorch networks with copied weights, and against itself in other company."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vgtemplate.config import catalogue
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.schema import OptimiserConfig
from vgtemplate.nn.build import build_model
from vgtemplate.nn.noise import set_step
from vgtemplate.theory.numpy_activations import FORMULAS as WITH_FORMULA
from vgtemplate.training.optimiser import build_optimiser

K, B = 3, 16
SEEDS = [7, 0, 3]
SHAPES = {"mlp": (1, 3, 2), "cnn": (2, 5, 4)}
NORMS = [("none", "before"), ("batch", "before"), ("batch", "after"), ("layer", "before"), ("layer", "after")]
SMOOTH = ["elu", "gelu", "identity", "sigmoid", "silu", "tanh"]
OPTIMISERS: dict[str, tuple[OptimiserConfig, Any]] = {
    "sgd": (OptimiserConfig(lr=0.1), lambda p: torch.optim.SGD(p, 0.1, foreach=False)),
    "momentum_decay": (
        OptimiserConfig(lr=0.02, momentum=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, weight_decay=0.01, foreach=False),
    ),
    "adam_decay": (
        OptimiserConfig(name="adam", lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1, foreach=False),
    ),
    "adamw": (
        OptimiserConfig(name="adamw", lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1, foreach=False),
    ),
}


def model(kind: str = "mlp", **settings: Any) -> ModelConfig:
    return ModelConfig.model_validate({"kind": kind, "depth": 4, "width": 16, "num_stages": 2, **settings})


def batch(kind: str, step: int, num_replicas: int = len(SEEDS)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(num_replicas, B, *SHAPES[kind], generator=generator, dtype=torch.float64)
    return x, torch.randint(K, (num_replicas, B), generator=generator)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The sum over replicas of each replica's mean."""
    return torch.stack([F.cross_entropy(z, y) for z, y in zip(logits, labels, strict=True)]).sum()


def build(config: ModelConfig, seeds: list[int]) -> nn.Module:
    return build_model(config, SHAPES[config.kind], K, seeds).double()


def check_training(config: ModelConfig, optimiser: str, plain: Any) -> None:
    population = build(config, SEEDS)
    reference = plain(population, config, SHAPES[config.kind], K)
    settings, make = OPTIMISERS[optimiser]
    rules = [build_optimiser(settings, population.parameters()), *(make(n.parameters()) for n in reference.networks)]
    for step in range(8):
        x, labels = batch(config.kind, step)
        for rule in rules:
            rule.zero_grad()
        logits, expected = population(x), reference(x)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
        loss(logits, labels).backward()
        loss(expected, labels).backward()
        if step == 0:
            reference.assert_same_gradients()
        for rule in rules:
            rule.step()
    reference.assert_same_parameters()
    reference.train(False)
    torch.testing.assert_close(population(x), reference(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("residual", "optimiser"), [(False, "momentum_decay"), (True, "adam_decay")])
@pytest.mark.parametrize(("norm", "position"), NORMS)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_population_trains_like_plain_networks(
    kind: str, norm: str, position: str, residual: bool, optimiser: str, plain: Any
) -> None:
    config = model(kind, norm=norm, norm_position=position, residual=residual, bias="pytorch_default")
    check_training(config, optimiser, plain)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_population_trains_like_plain_networks_with_every_optimiser(kind: str, optimiser: str, plain: Any) -> None:
    check_training(model(kind, norm="batch", residual=True, activation="prelu", bias="none"), optimiser, plain)


@st.composite
def configurations(draw: st.DrawFn) -> tuple[ModelConfig, tuple[int, int, int]]:
    widths = st.integers(1, 5)
    initialisers = [name for name, row in catalogue.INITIALISERS.items() if not row.needs_std]
    norm = draw(st.sampled_from(["none", "batch", "layer"]))
    # In training rrelu draws its slopes, tested in test_activations.py. A unit that normalisation leaves at 0, up to
    # rounding, must not sit on a kink.
    activations = SMOOTH if norm != "none" else sorted(set(WITH_FORMULA) - {"rrelu"})
    config = ModelConfig.model_validate(
        {
            "kind": draw(st.sampled_from(["mlp", "cnn"])),
            "depth": draw(st.integers(1, 4)),
            "width": draw(widths | st.lists(widths, min_size=1, max_size=3)),
            "activation": draw(st.sampled_from(activations)),
            "initialiser": {"name": draw(st.sampled_from(initialisers)), "gain": draw(st.floats(0.5, 2))},
            "bias": draw(st.sampled_from(["zeros", "normal", "pytorch_default", "none"])),
            "norm": norm,
            "norm_position": draw(st.sampled_from(["before", "after"])),
            "residual": draw(st.booleans()),
            "num_stages": draw(st.integers(1, 4)),
        }
    )
    return config, draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))


@pytest.mark.slow
@given(
    drawn=configurations(), num_replicas=st.integers(1, 4), batch_size=st.integers(2, 6), data_seed=st.integers(0, 9)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_configuration_equals_plain_networks(
    drawn: tuple[ModelConfig, tuple[int, int, int]], num_replicas: int, batch_size: int, data_seed: int, plain: Any
) -> None:
    config, shape = drawn
    population = build_model(config, shape, K, range(num_replicas)).double()
    reference = plain(population, config, shape, K)
    generator = torch.Generator().manual_seed(data_seed)
    x = torch.randn(num_replicas, batch_size, *shape, generator=generator, dtype=torch.float64)
    logits, expected = population(x), reference(x)
    assert logits.shape == (num_replicas, batch_size, K)
    # Normalising nearly equal numbers multiplies rounding by up to 1e-5^-0.5, layer by layer.
    atol = 1e-7 * max(1.0, expected.detach().abs().max().item())
    torch.testing.assert_close(logits, expected, rtol=0, atol=atol)
    logits.square().mean(dim=(1, 2)).sum().backward()
    expected.square().mean(dim=(1, 2)).sum().backward()
    largest = max(p.grad.abs().max().item() for n in reference.networks for p in n.parameters())
    reference.assert_same_gradients(atol=1e-7 * max(1.0, largest))
    reference.assert_same_parameters(atol=atol)
    reference.train(False)
    torch.testing.assert_close(population(x), reference(x), rtol=0, atol=atol)


@pytest.mark.parametrize("name", WITH_FORMULA)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_every_activation_evaluates_like_plain_networks(kind: str, name: str, plain: Any) -> None:
    config = model(kind, activation=name, bias="normal")
    population = build(config, SEEDS)
    reference = plain(population, config, SHAPES[kind], K)
    reference.train(False)
    x, _ = batch(kind, 0)
    torch.testing.assert_close(population(x), reference(x), rtol=0, atol=1e-9)


def train(config: ModelConfig, seeds: list[int], columns: list[int]) -> nn.Module:
    """20 steps in training mode with the batches of the replicas `columns` of SEEDS."""
    population = build(config, seeds)
    rule = torch.optim.SGD(population.parameters(), 0.1, momentum=0.9)
    for step in range(20):
        x, labels = batch(config.kind, step)
        set_step(population, step)
        rule.zero_grad()
        loss(population(x[columns]), labels[columns]).backward()
        rule.step()
    return population


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize(
    "initialiser",
    [name if not row.needs_std else {"name": name, "std": 0.5} for name, row in sorted(catalogue.INITIALISERS.items())],
    ids=str,
)
def test_seed_gives_the_same_weights_bit_for_bit_whatever_stands_beside_it(kind: str, initialiser: Any) -> None:
    config = model(kind, initialiser=initialiser, bias="normal")
    alone = dict(build(config, [SEEDS[1]]).named_parameters())
    for name, parameter in build(config, SEEDS).named_parameters():
        assert torch.equal(parameter[1], alone[name][0]), name


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_replica_is_independent_of_its_neighbours(kind: str) -> None:
    """With every source of coupling at once: batch norm, dropout, random slopes."""
    config = model(kind, activation="rrelu", norm="batch", dropout=0.3, residual=True, bias="normal")
    together = train(config, SEEDS, [0, 1, 2])
    for others in ([1], [2, 1]):
        alone = train(config, [SEEDS[column] for column in others], others)
        for (name, ours), theirs in zip(together.state_dict().items(), alone.state_dict().values(), strict=True):
            torch.testing.assert_close(ours[1], theirs[others.index(1)], rtol=0, atol=1e-9, msg=name)


def test_different_seeds_are_different_networks() -> None:
    weight = build(model(), SEEDS).hidden_layers[0].linear.weight
    assert not torch.isclose(weight[0], weight[1]).any()


def test_neither_building_nor_running_touches_torchs_global_generator() -> None:
    before = torch.get_rng_state()
    population = build(model(activation="rrelu", dropout=0.5), SEEDS)
    population(batch("mlp", 0)[0])
    assert torch.equal(torch.get_rng_state(), before)
