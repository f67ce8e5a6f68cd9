"""What the gallery computes of training: gradients against autograd, the normalised layer against PyTorch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vgtemplate.lab.report import gallery_batchnorm as batchnorm
from vgtemplate.lab.report import gallery_descent as descent


@pytest.mark.parametrize("weights", [(0.35, -1.6), (1.9, -1.6), (-2.0, 0.0)])
def test_gradient_of_the_surface_is_that_of_autograd(weights: tuple[float, float]) -> None:
    first, second = (torch.tensor(weight, dtype=torch.float64, requires_grad=True) for weight in weights)
    x = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    loss = ((second * torch.tanh(first * x) - torch.sin(x)) ** 2).mean()
    expected = [float(slope) for slope in torch.autograd.grad(loss, (first, second))]
    assert descent.surface_gradient(*weights) == pytest.approx(expected)
    assert descent.surface_loss(np.array(weights[0]), np.array(weights[1])) == pytest.approx(float(loss.detach()))


def test_descents_go_down_all_the_way_and_end_in_different_valleys() -> None:
    ends = []
    for start in descent._POINTS:
        path = descent.descend_surface(*start)
        assert (np.diff(descent.surface_loss(path[:, 0], path[:, 1])) < 0).all()
        assert np.abs(descent.surface_gradient(*path[-1])).max() < 0.01
        ends.append(path[-1])
    assert (np.sign(ends[0]) == -np.sign(ends[1])).all()


def test_neuron_moves_where_it_is_steep_and_stays_where_it_is_saturated() -> None:
    steep, saturated = (descent.descend_neuron(start) for start in descent._STARTS)
    assert steep[0] - steep[-1] > 2
    assert 0 < saturated[0] - saturated[-1] < 0.05
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (weight.sigmoid() ** 2 / 2).backward()
    assert steep[1] == pytest.approx(1.0 - 4.0 * float(weight.grad or 0.0))


def test_four_vectors_are_those_of_pytorchs_layer_trained_alike() -> None:
    points, classes = (torch.from_numpy(array) for array in batchnorm.draw_points())
    inner, outer = (torch.from_numpy(array) for array in batchnorm.start_weights())
    norm = nn.BatchNorm1d(batchnorm.UNITS, eps=batchnorm.EPS, momentum=batchnorm.MOMENTUM).double()
    inner.requires_grad_()
    optimiser = torch.optim.SGD([inner, *norm.parameters()], lr=batchnorm.RATE)
    for x, target in zip(points.split(batchnorm.BATCH), classes.split(batchnorm.BATCH), strict=True):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(norm(x @ inner).relu() @ outer, target).backward()
        optimiser.step()
    layer = batchnorm.train_layer()
    ours = (layer.gamma, layer.beta, layer.mean, layer.variance)
    theirs = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for values, tensor in zip(ours, theirs, strict=True):
        assert tensor is not None
        np.testing.assert_allclose(values, tensor.detach().numpy(), rtol=1e-9)
    assert np.abs(layer.gamma - 1).max() > 0.1
