"""Residual networks of the CIFAR kind against a closed form and against a plain PyTorch network."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.theory.layers import Layer
from vgtemplate.theory.numpy_activations import FORMULAS
from vgtemplate.theory.profiles import Prediction
from vgtemplate.theory.resnet import predict_resnet


def stack(width: int, blocks: int, stages: int = 3) -> list[Layer]:
    widths = [3, width, *(width * 2**stage for stage in range(stages) for _ in range(2 * blocks))]
    return [
        Layer(fan_in, out, math.sqrt(2 / (9 * fan_in)), kernel=3, stride=2 if index > 1 and out > fan_in else 1)
        for index, (fan_in, out) in enumerate(pairwise(widths))
    ]


class Plain(nn.Module):
    """He et al. 2016, option A, as it is usually written."""

    def __init__(self, layers: list[Layer], phi: Any, seed: int) -> None:
        super().__init__()
        self.phi = phi
        random = torch.Generator().manual_seed(seed)
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in layers:
            convolution = nn.Conv2d(layer.in_width, layer.width, 3, stride=layer.stride, padding=1, bias=False)
            convolution.weight.data = torch.randn(convolution.weight.shape, generator=random) * layer.weight_std
            self.convolutions.append(convolution)
            self.norms.append(nn.BatchNorm2d(layer.width))
        self.output = torch.randn(layers[-1].width, 10, generator=random).double()

    def forward(self, x: Tensor) -> Tensor:
        self.seen: list[Tensor] = []
        self.put_out: list[Tensor] = []

        def activate(z: Tensor) -> Tensor:
            z.retain_grad()
            self.seen.append(z)
            self.put_out.append(self.phi(z))
            return self.put_out[-1]

        normalised = [
            lambda h, c=convolution, n=norm: n(c(h))
            for convolution, norm in zip(self.convolutions, self.norms, strict=True)
        ]
        x = activate(normalised[0](x))
        for opening, closing in zip(normalised[1::2], normalised[2::2], strict=True):
            h = closing(activate(opening(x)))
            if h.shape != x.shape:
                x = F.pad(x[..., ::2, ::2], (0, 0, 0, 0, 0, h.shape[1] - x.shape[1]))
            x = activate(h + x)
        return x.mean(dim=(2, 3)) @ self.output


@pytest.mark.slow
@pytest.mark.parametrize(("name", "phi"), [("relu", torch.relu), ("tanh", torch.tanh), ("selu", F.selu)])
def test_every_layer_of_a_plain_pytorch_resnet_is_as_predicted(name: str, phi: Any) -> None:
    layers = stack(width=24, blocks=3)
    predicted = predict_resnet(FORMULAS[name], layers)
    gradients, signals, seen = [], [], []
    for seed in range(3):
        network = Plain(layers, phi, seed).double()
        random = torch.Generator().manual_seed(seed)
        images = F.avg_pool2d(torch.randn(48, 3, 24, 24, generator=random, dtype=torch.float64), 3, 1, 1)
        loss = F.cross_entropy(network(images), torch.arange(48) % 10)
        loss.backward()
        gradients.append([float(z.grad.square().mean()) for z in network.seen])
        seen.append([float(z.detach().square().mean()) for z in network.seen])
        signals.append([float(y.detach().square().mean()) for y in network.put_out])
    np.testing.assert_allclose(np.mean(seen, axis=0), predicted.q, rtol=0.05)
    np.testing.assert_allclose(np.log10(np.mean(signals, axis=0)) / 2, predicted.log10_signal_rms, atol=0.02)
    gradient = np.log10(np.mean(gradients, axis=0)) / 2
    np.testing.assert_allclose(gradient - gradient[-1], predicted.log10_gradient_rms, atol=0.13)
    slope = -np.polyfit(range(len(gradient) - 1), gradient[1:], 1)[0]
    assert slope == pytest.approx(predicted.gradient_slope, abs=0.01)


def test_linear_blocks_have_closed_forms() -> None:
    """x + u adds 1 to the variance a block, and 1 / variance of the squared gradient: 2 * 3/2 * 4/3 ... = n + 1."""
    layers = [Layer(3, 32, 0.1, kernel=3), *[Layer(32, 32, 0.1, kernel=3)] * 12]
    found = predict_resnet(FORMULAS["identity"], layers)
    np.testing.assert_allclose(found.q[2::2], np.arange(2, 8), rtol=2e-3)
    squares = 10 ** (2 * found.log10_gradient_rms)
    np.testing.assert_allclose(squares[0::2], [7 / (1 + block) for block in range(7)], rtol=2e-3)


def test_a_network_without_blocks_is_its_first_layer() -> None:
    found = predict_resnet(FORMULAS["relu"], stack(16, 0))
    assert isinstance(found, Prediction)
    np.testing.assert_allclose(10 ** (2 * found.log10_signal_rms), 0.5)


def test_deeper_networks_hardly_explode() -> None:
    """A block of many adds little, where plain batch-normalised ReLU grows by 0.083 decades per layer."""
    slopes = [predict_resnet(FORMULAS["relu"], stack(16, blocks)).gradient_slope for blocks in (3, 9, 27)]
    assert sorted(slopes, reverse=True) == slopes
    assert slopes[0] < 0.03
    assert slopes[2] < 0.01
