"""The numpy activations against the catalogue's names and torch's functions with autograd."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.config import catalogue
from vgtemplate.theory.numpy_activations import FORMULAS

TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "rrelu": lambda z: F.rrelu(z, training=False),
    "prelu": torch.nn.PReLU(dtype=torch.float64),
    "prelu_unit": torch.nn.PReLU(init=0.0, dtype=torch.float64),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "identity": lambda z: z * 1,
}


def test_names_are_the_catalogues() -> None:
    assert set(FORMULAS) <= set(catalogue.ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_function_and_derivative_equal_torch(name: str) -> None:
    z = torch.linspace(-30, 30, 2000, dtype=torch.float64, requires_grad=True)
    value = TORCH[name](z)
    (slope,) = torch.autograd.grad(value.sum(), z)
    points = z.detach().numpy()
    np.testing.assert_allclose(FORMULAS[name].function(points), value.detach(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(FORMULAS[name].derivative(points), slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.filterwarnings("error")
def test_nothing_overflows_far_out(name: str) -> None:
    far = np.array([-1e6, 1e6])
    assert np.isfinite(FORMULAS[name].function(far)).all()
    assert np.isfinite(FORMULAS[name].derivative(far)).all()
