"""The activations of torch that are known, against their difference quotients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.watching.functions import _KNOWN, activation_of, derivative, max_derivative

IN_PLACE = [name for name in sorted(_KNOWN) if hasattr(torch, f"{name}_") or hasattr(F, f"{name}_")]


def arguments(name: str) -> tuple[Any, ...]:
    return (torch.tensor([0.25], dtype=torch.float64),) if name == "prelu" else ()


@pytest.mark.parametrize("name", sorted(_KNOWN))
def test_derivative_is_the_difference_quotient_and_its_largest_size_is_known(name: str) -> None:
    function, args = getattr(F, name.replace("log_sigmoid", "logsigmoid")), arguments(name)
    assert activation_of(function) == name
    z = torch.linspace(-9.05, 9.05, 2000, dtype=torch.float64)
    kept = z.clone()
    slope = derivative(function, z, args, {"training": True} if name == "rrelu" else {})
    assert torch.equal(z, kept)
    step = 1e-6
    settings = {"training": False} if name == "rrelu" else {}
    with torch.no_grad():
        quotient = (function(z + step, *args, **settings) - function(z - step, *args, **settings)) / (2 * step)
    torch.testing.assert_close(slope, quotient, rtol=1e-6, atol=1e-7)
    assert float(slope.abs().max()) == pytest.approx(max_derivative(name), rel=1e-2)


@pytest.mark.parametrize("name", IN_PLACE)
def test_function_that_works_in_place_overwrites_nothing_that_is_looked_at(name: str) -> None:
    function = getattr(F, f"{name}_", None) or getattr(torch, f"{name}_")
    z = torch.linspace(-3, 3, 50)
    kept = z.clone()
    slope: Tensor = derivative(function, z, (), {})
    assert torch.equal(z, kept)
    torch.testing.assert_close(slope, derivative(getattr(F, name), z, (), {}))


def test_other_functions_are_no_activations() -> None:
    assert [activation_of(each) for each in (torch.softmax, F.linear, Tensor.add, F.glu)] == [None] * 4
