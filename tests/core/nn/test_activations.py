"""The activations against torch.nn's modules, the catalogue's rows, and the law of the random slopes."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError
from vgtemplate.nn.activations import (
    DERIVATIVES,
    FUNCTIONS,
    Activation,
    PReLU,
    RReLU,
    build_activation,
    derivative,
)
from vgtemplate.nn.noise import set_step
from vgtemplate.theory.numpy_activations import FORMULAS as WITH_FORMULA

NAMES = sorted(catalogue.ACTIVATIONS)


def grid(num: int = 2000) -> Tensor:
    """[-20, 20] with exactly 0 in it, as (1, 1, 2 num + 1)."""
    return (torch.arange(-num, num + 1, dtype=torch.float64) * 20 / num).view(1, 1, -1)


def slope_of(module: nn.Module, z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(module(z).sum(), z)
    return slope


def test_every_row_has_its_function_and_every_function_its_row() -> None:
    assert sorted(FUNCTIONS) == NAMES
    for name in NAMES:
        assert build_activation(name, [0], 0).name == name


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_value_and_derivative_are_those_of_torchs_module(name: str, torch_activations: Any) -> None:
    ours, theirs = build_activation(name, [0], 0).double().eval(), torch_activations[name]().double().eval()
    z = grid()
    assert (z == 0).any()
    torch.testing.assert_close(ours(z), theirs(z), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(slope_of(ours, z), slope_of(theirs, z), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_catalogues_largest_derivative_is_the_largest(name: str) -> None:
    module = build_activation(name, [0], 0).double().eval()
    steepest = slope_of(module, grid(200_000)).abs().max().item()
    assert catalogue.ACTIVATIONS[name].max_derivative == pytest.approx(steepest, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5, 6)])
def test_shape_and_type_are_kept(name: str, shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64):
        y = build_activation(name, [0, 1], 0).to(dtype)(torch.ones(shape, dtype=dtype))
        assert y.shape == shape
        assert y.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_module_can_be_pickled(name: str) -> None:
    module = build_activation(name, [0, 1], 0)
    z = torch.linspace(-2, 2, 20).view(2, 10)
    assert torch.equal(pickle.loads(pickle.dumps(module))(z), module(z))


def test_module_says_its_name() -> None:
    assert "tanh" in repr(Activation("tanh"))


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 2, 2)])
def test_prelu_learns_one_slope_per_replica(shape: tuple[int, ...]) -> None:
    ours = PReLU([0, 1, 2], layer=0).double()
    plain = [nn.PReLU().double() for _ in range(3)]
    with torch.no_grad():
        for replica, (network, slope) in enumerate(zip(plain, (0.25, -0.5, 2.0), strict=True)):
            network.weight.fill_(slope)
            ours.slope[replica] = slope
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours(z).square().sum().backward()
    for replica, network in enumerate(plain):
        torch.testing.assert_close(ours(z)[replica], network(z[replica]))
        network(z[replica]).square().sum().backward()
        torch.testing.assert_close(ours.slope.grad[replica], network.weight.grad[0])


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 2, 2)])
def test_prelu_per_unit_learns_a_slope_for_each_unit_or_channel_from_zero(shape: tuple[int, ...]) -> None:
    ours = build_activation("prelu_unit", [0, 1, 2], 0, 4).double()
    assert ours.slope.tolist() == [[0.0] * 4] * 3
    plain = [nn.PReLU(4).double() for _ in range(3)]
    with torch.no_grad():
        ours.slope.copy_(torch.arange(12).view(3, 4) / 8 - 0.5)
        for replica, network in enumerate(plain):
            network.weight.copy_(ours.slope[replica])
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours(z).square().sum().backward()
    for replica, network in enumerate(plain):
        torch.testing.assert_close(ours(z)[replica], network(z[replica]), rtol=0, atol=0)
        network(z[replica]).square().sum().backward()
        torch.testing.assert_close(ours.slope.grad[replica], network.weight.grad)


def test_rrelu_draws_slopes_uniform_between_an_eighth_and_a_third() -> None:
    module = RReLU([0, 1], layer=0).double()
    slopes = -module(torch.full((2, 100_000), -1.0, dtype=torch.float64))
    for row in slopes:
        assert stats.kstest(row.numpy(), stats.uniform(1 / 8, 1 / 3 - 1 / 8).cdf).pvalue > 1e-3
    assert abs(stats.pearsonr(slopes[0].numpy(), slopes[1].numpy()).statistic) < 4 / 100_000**0.5


def test_rrelu_leaves_positive_inputs_alone_and_draws_anew_each_step() -> None:
    module = RReLU([0], layer=0)
    z = torch.linspace(-1, 1, 201)[None]
    first = module(z)
    assert torch.equal(first[z > 0], z[z > 0])
    assert torch.equal(module(z), first)
    set_step(module, 1)
    assert (module(z)[z < -0.01] != first[z < -0.01]).all()


def test_rrelus_gradient_is_the_slope_it_drew() -> None:
    module = RReLU([0], layer=0).double()
    z = torch.linspace(-3, -1, 100, dtype=torch.float64)[None]
    torch.testing.assert_close(slope_of(module, z), module(z) / z)


def test_unknown_name_is_answered_with_the_nearest_before_anything_runs() -> None:
    with pytest.raises(UserError, match="'relu'"):
        build_activation("rellu", [0], 0)


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivative_in_closed_form_is_autograds_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    z = torch.cat([torch.linspace(-9, 9, 2_000), torch.tensor([0.0, -0.0, 1e-30, -200, 200, torch.inf])]).to(dtype)
    leaf = z.clone().requires_grad_()
    (expected,) = torch.autograd.grad(FUNCTIONS[name](leaf).sum(), leaf)
    found = derivative(build_activation(name, [0], 0), z)
    assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7))
