"""The initialisers against torch.nn.init with the same generator, closed-form moments, and linear algebra."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from vgtemplate.config import catalogue
from vgtemplate.config.network import InitialiserConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.conv import Conv2d
from vgtemplate.nn.initialisers import INITIALISERS, Draws, Fans, build_draws
from vgtemplate.nn.linear import Linear

SEEDS = [3, 11]
TORCH: dict[str, Callable[..., Tensor]] = {
    "glorot_normal": nn.init.xavier_normal_,
    "glorot_uniform": nn.init.xavier_uniform_,
    "lecun_normal": lambda w, generator: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=generator),
    "lecun_uniform": lambda w, generator: nn.init.kaiming_uniform_(w, nonlinearity="linear", generator=generator),
    "he_normal": lambda w, generator: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=generator),
    "he_uniform": lambda w, generator: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=generator),
    "pytorch_default": lambda w, generator: nn.init.kaiming_uniform_(w, a=math.sqrt(5), generator=generator),
    "normal": lambda w, generator: nn.init.normal_(w, generator=generator),
    "orthogonal": nn.init.orthogonal_,
}
FORMULAS: dict[str, Callable[[int, int], Any]] = {
    "glorot_normal": lambda i, o: stats.norm(0, math.sqrt(2 / (i + o))),
    "glorot_uniform": lambda i, o: uniform(math.sqrt(6 / (i + o))),
    "lecun_normal": lambda i, o: stats.norm(0, math.sqrt(1 / i)),
    "lecun_uniform": lambda i, o: uniform(math.sqrt(3 / i)),
    "he_normal": lambda i, o: stats.norm(0, math.sqrt(2 / i)),
    "he_uniform": lambda i, o: uniform(math.sqrt(6 / i)),
    "pytorch_default": lambda i, o: uniform(math.sqrt(1 / i)),
    "normal": lambda i, o: stats.norm(0, 0.7),
}


def uniform(bound: float) -> Any:
    return stats.uniform(-bound, 2 * bound)


def settings(name: str, gain: float = 1.0) -> InitialiserConfig:
    return InitialiserConfig(name=name, gain=gain, std=0.7 if catalogue.INITIALISERS[name].needs_std else None)


def draws(name: str, bias: str = "zeros", gain: float = 1.0) -> Draws:
    return build_draws(settings(name, gain), bias, SEEDS)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, Stream.WEIGHTS))


def test_every_row_has_its_function_and_every_function_its_row() -> None:
    assert set(INITIALISERS) == set(catalogue.INITIALISERS)


@pytest.mark.parametrize("name", sorted(TORCH))
def test_convolution_draws_what_torch_draws_from_the_same_generator(name: str) -> None:
    ours = Conv2d(3, 40, draws(name), kernel_size=3).weight
    scale = 0.7 if name == "normal" else 1.0
    for replica, seed in enumerate(SEEDS):
        theirs = TORCH[name](torch.empty(40, 3, 3, 3), generator=generator(seed)) * scale
        torch.testing.assert_close(ours[replica].detach(), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_linear_weights_follow_the_published_distribution(name: str) -> None:
    weight = Linear(300, 200, draws(name)).weight.detach().double().numpy()
    law = FORMULAS[name](300, 200)
    for replica in range(len(SEEDS)):
        values = weight[replica].ravel()
        assert stats.kstest(values, law.cdf).pvalue > 1e-3
        # The relative deviation of a variance of n numbers is at most sqrt(2/n), here 0.6 %; 5 of them.
        assert np.var(values) == pytest.approx(law.var(), rel=0.03)
        if "uniform" in name or name == "pytorch_default":
            bound = law.support()[1]
            assert 0.999 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_linear_fans_are_torchs(name: str) -> None:
    """torch.nn.init reads (out, in) matrices, ours are (in, out)."""
    ours = Linear(600, 50, draws(name)).weight.std().item()
    theirs = TORCH[name](torch.empty(50, 600), generator=generator(0)).std().item()
    assert ours == pytest.approx(theirs * (0.7 if name == "normal" else 1.0), rel=0.03)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(30, 50), (50, 30), (40, 40), (1, 7), (7, 1)])
def test_orthogonal_matrices_are_orthogonal(fan_in: int, fan_out: int) -> None:
    for weight in Linear(fan_in, fan_out, draws("orthogonal")).weight.detach().double():
        gram = weight @ weight.T if fan_in <= fan_out else weight.T @ weight
        torch.testing.assert_close(gram, torch.eye(min(fan_in, fan_out), dtype=torch.float64), rtol=0, atol=1e-5)


def test_orthogonal_kernels_are_orthogonal_as_matrices_of_out_by_rest() -> None:
    for weight in Conv2d(2, 10, draws("orthogonal")).weight.detach().double():
        rows = weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(10, dtype=torch.float64), rtol=0, atol=1e-5)


def test_orthogonal_matrices_come_from_the_haar_measure() -> None:
    """QR alone would fix the signs of R's diagonal; under Haar's every entry of a 2x2 rotation is cos of a uniform."""
    many = build_draws(settings("orthogonal"), "none", range(500))
    corner = many.draw_weight((2, 2), Fans(2, 2)).detach()[:, 0, 0].double().numpy()
    assert stats.kstest(corner, stats.arcsine(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", sorted(INITIALISERS))
def test_gain_multiplies_the_weights(name: str) -> None:
    plain, scaled = Linear(9, 8, draws(name)).weight, Linear(9, 8, draws(name, gain=2.5)).weight
    torch.testing.assert_close(scaled, plain * 2.5)


@pytest.mark.parametrize("std", [0.0, 1.0, 3.0])
def test_normal_has_the_std_it_is_given_whatever_the_fans(std: float) -> None:
    config = InitialiserConfig(name="normal", std=std)
    weight = Linear(1000, 30, build_draws(config, "none", [0])).weight
    assert weight.std().item() == pytest.approx(std, rel=0.03)


def test_linear_with_pytorchs_defaults_has_nn_linears_distribution() -> None:
    torch_layer = nn.Linear(300, 2000)
    layer = Linear(300, 2000, draws("pytorch_default", bias="pytorch_default"))
    for ours, theirs in ((layer.weight, torch_layer.weight), (layer.bias, torch_layer.bias)):
        bound = theirs.abs().max().item()
        assert ours.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert stats.kstest(ours[0].detach().double().numpy().ravel(), uniform(300**-0.5).cdf).pvalue > 1e-3


def test_convolution_with_pytorchs_defaults_is_nn_conv2d_from_the_same_generator() -> None:
    ours = Conv2d(2, 8, draws("pytorch_default", bias="pytorch_default"))
    for replica, seed in enumerate(SEEDS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, Stream.WEIGHTS))
            theirs = nn.Conv2d(2, 8, 3)
        torch.testing.assert_close(ours.weight[replica], theirs.weight, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(ours.bias[replica], theirs.bias, rtol=1e-6, atol=1e-7)


def test_biases_are_as_named() -> None:
    assert Linear(5, 4, draws("he_normal", bias="none")).bias is None
    assert Conv2d(5, 4, draws("he_normal", bias="none")).bias is None
    assert not Linear(5, 4, draws("he_normal", bias="zeros")).bias.any()
    bias = Linear(5, 20_000, draws("he_normal", bias="normal")).bias.detach().double().numpy()
    assert stats.kstest(bias[0], "norm").pvalue > 1e-3
    assert not np.isclose(bias[0], bias[1]).all()


def test_replica_consumes_its_own_generator_alone() -> None:
    """Weight, then bias, then the next layer's: each replica as if it were the only one."""
    together, alone = draws("orthogonal", bias="normal"), build_draws(settings("orthogonal"), "normal", [SEEDS[1]])
    for fans in ((6, 4), (4, 9)):
        ours, theirs = Linear(*fans, together), Linear(*fans, alone)
        assert torch.equal(ours.weight[1], theirs.weight[0])
        assert torch.equal(ours.bias[1], theirs.bias[0])
