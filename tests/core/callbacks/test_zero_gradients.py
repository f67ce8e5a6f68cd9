"""Exact zeros in dL/dx of each layer's input: against autograd on plain networks, and without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.core.callbacks.conftest import Reference
from vgtemplate.callbacks import zero_gradients as file
from vgtemplate.callbacks.zero_gradients import ZeroGradientProbe

WIDE = {"activation": "relu", "width": 5, "depth": 4}


def looks(lab: Any, module: Any, batches: Any, num_images: int = 100, steps: int = 3) -> Any:
    probe = ZeroGradientProbe(batches, num_images)
    lab.run(module, lab.batches(steps), probe)
    return probe.series()["zero_gradient_fraction"]


def by_hand(module: Any, batches: list[Any]) -> np.ndarray:
    """The share of zeros in dL/dx of layers 2 to L, (R, L - 1), over whole batches of equal size."""
    shares = np.zeros((module.num_replicas, len(module.model.hidden_layers) - 1))
    for r in range(module.num_replicas):
        for images, labels in batches:
            network = Reference(module, r)
            loss = F.cross_entropy(network(images[r]), labels[r])
            gradients = torch.autograd.grad(loss, network.h[:-1])
            shares[r] += [float((gradient == 0).double().mean()) / len(batches) for gradient in gradients]
    return shares


@pytest.mark.parametrize(("norm", "residual"), [("none", False), ("batch", False), ("batch", True)])
def test_shares_are_those_of_autograd(norm: str, residual: bool, lab: Any) -> None:
    module = lab.module(model=WIDE | {"norm": norm, "residual": residual}, optimiser={"lr": 0.0})
    with torch.no_grad():  # without a shortcut nothing comes back to units that no weight leads on from
        for hidden in list(module.model.hidden_layers)[1:]:
            hidden.linear.weight[:, 1:3] = 0
    batches = lab.batches(2, seed=4)
    expected, found = by_hand(module, batches), looks(lab, module, batches)
    assert found.shape == (3, 2, 4)
    assert np.isnan(found[:, :, 0]).all()
    np.testing.assert_allclose(found[:, 0, 1:], expected, rtol=1e-12)
    if residual:
        assert (expected == 0).all()
    else:
        assert (expected >= 0.4 - 1e-12).all()
        np.testing.assert_allclose(found[:, 1], found[:, 0])


def test_a_branch_whose_factor_is_minus_one_cancels_the_shortcut(lab: Any) -> None:
    """x + relu(-x + 100) is 100 for all x below it: its gradient is exactly 0, and that of all below."""
    module = lab.module(model=WIDE | {"residual": True, "bias": "zeros"}, optimiser={"lr": 0.0})
    layer = module.model.hidden_layers[2].linear
    with torch.no_grad():
        layer.weight[1] = -torch.eye(5)
        layer.bias[1] = 100.0
    found = looks(lab, module, lab.batches(1, seed=4))[:, 0, 1:]
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 1, 0], [0, 0, 0]])


def test_second_look_is_after_the_last_step(lab: Any) -> None:
    module = lab.module(model=WIDE, optimiser={"lr": 0.5})
    batches = lab.batches(1, seed=4)
    first = by_hand(module, batches)
    found = looks(lab, module, batches)
    np.testing.assert_allclose(found[:, 0, 1:], first, rtol=1e-12)
    np.testing.assert_allclose(found[:, 1, 1:], by_hand(module, batches), rtol=1e-12)


def test_no_more_images_are_looked_at_than_asked_for(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_CHUNK", 4)
    module = lab.module(model=WIDE, optimiser={"lr": 0.0})
    images, labels = lab.batches(1, seed=4)[0]
    more = [(images, labels), (torch.zeros_like(images), labels)]
    parts = [(images[:, :4], labels[:, :4]), (images[:, 4:], labels[:, 4:])]
    weighted = (4 * by_hand(module, parts[:1]) + 2 * by_hand(module, parts[1:])) / 6
    np.testing.assert_allclose(looks(lab, module, more, num_images=6)[:, 0, 1:], weighted, rtol=1e-12)


def test_a_replica_without_a_gradient_has_no_value_and_is_alone(lab: Any) -> None:
    broken, whole = lab.module(model=WIDE), looks(lab, lab.module(model=WIDE), lab.batches(1))
    broken.model.hidden_layers[1].linear.weight.data[1] = torch.nan
    found = looks(lab, broken, lab.batches(1))
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], whole[[0, 2]])


def test_the_probe_changes_nothing(lab: Any) -> None:
    settings: dict[str, Any] = {"model": {"norm": "batch", "dropout": 0.3, "activation": "rrelu", "residual": True}}
    plain, watched = lab.module(**settings), lab.module(**settings)
    lab.run(plain, lab.batches(3))
    looks(lab, watched, lab.batches(1, seed=4))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name]), name
