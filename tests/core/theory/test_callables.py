"""Any function as an activation of the theory, against its own formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vgtemplate.config.errors import UserError
from vgtemplate.theory.callables import as_activation
from vgtemplate.theory.critical import critical_gain
from vgtemplate.theory.profiles import predict


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.tanh, "tanh"),
        (np.tanh, "tanh"),
        (F.relu, "relu"),
        (lambda z: np.maximum(z, 0), "relu"),
        (nn.SELU(), "selu"),
        (nn.PReLU(), "prelu"),
        (lambda z: z * torch.sigmoid(z), "silu"),
    ],
)
def test_a_function_is_predicted_as_its_name_is(function: Callable[[Any], Any], name: str) -> None:
    ours, theirs = (predict(activation=each, depth=12, width=64, weight_std=0.15) for each in (function, name))
    np.testing.assert_allclose(ours.log10_gradient_rms, theirs.log10_gradient_rms, atol=1e-6)
    np.testing.assert_allclose(ours.q, theirs.q, rtol=1e-6)
    assert critical_gain(function) == pytest.approx(critical_gain(name), nan_ok=True, rel=1e-6)


def test_kinks_of_a_function_of_arrays_are_found() -> None:
    assert as_activation(lambda z: np.clip(z, -1, 2)).kinks == (0.0, -1.0, 2.0)


def test_a_module_stays_as_it_is() -> None:
    module = nn.PReLU()
    as_activation(module)
    assert module.training
    assert module.weight.dtype == torch.float32
    assert module.weight.requires_grad


@pytest.mark.parametrize("function", [lambda z: z.sum(), lambda z: "no", nn.Linear(2, 2), lambda: 1])
def test_what_is_no_activation_is_refused_in_a_line(function: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"^activation \S+: is no function of arrays or tensors") as error:
        predict(activation=function, depth=3, weight_std=0.1)
    assert "\n" not in str(error.value)
