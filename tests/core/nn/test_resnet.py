"""The CIFAR networks against He et al.'s published sizes and a plain PyTorch network of the usual kind."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.config.network import ModelConfig
from vgtemplate.nn.build import build_model
from vgtemplate.nn.resnet import ResNet, shortcut

IMAGE = (3, 32, 32)


def config(depth: int = 20, **others: object) -> ModelConfig:
    return ModelConfig.model_validate(
        {"kind": "resnet", "depth": depth, "width": 16, "norm": "batch", "residual": True, **others}
    )


class PlainBlock(nn.Module):
    """A basic block with the shortcut of option A, as public implementations write it."""

    def __init__(self, in_planes: int, planes: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.residual:
            if out.shape != x.shape:
                missing = out.shape[1] - x.shape[1]
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, missing // 2, missing // 2))
            out = out + x
        return F.relu(out)


def plain_resnet(n: int, residual: bool, width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    planes = width
    for stage in range(3):
        for block in range(n):
            out = width * 2**stage
            layers.append(PlainBlock(planes, out, 2 if stage and block == 0 else 1, residual))
            planes = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(planes, 10))


def copy_weights(population: ResNet, replica: int, plain: nn.Sequential) -> None:
    convolutions = [module for module in plain.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer, convolution, norm in zip(population.hidden_layers, convolutions, norms, strict=True):
            convolution.weight.copy_(layer.get_parameter("linear.weight")[replica])
            norm.weight.copy_(layer.get_parameter("norm.weight")[replica])
            norm.bias.copy_(layer.get_parameter("norm.bias")[replica])
        linear = plain[-1]
        assert isinstance(linear, nn.Linear)
        linear.weight.copy_(population.output.weight[replica].T)
        assert population.output.bias is not None
        linear.bias.copy_(population.output.bias[replica])


@pytest.mark.parametrize(("depth", "published"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_has_as_many_parameters_as_published(depth: int, published: float) -> None:
    """He et al. 2016, table 6; shortcuts without parameters, so the plain network has the same number."""
    counts = []
    for residual in (True, False):
        network = build_model(config(depth, residual=residual), IMAGE, 10, [0])
        counts.append(sum(parameter.numel() for parameter in network.parameters()))
    assert counts[0] == counts[1]
    assert round(counts[0] / 1e6, 2 if published < 1 else 1) == published
    assert len(network.hidden_layers) == depth - 1


@pytest.mark.parametrize("residual", [True, False])
def test_equals_a_plain_network_per_replica(residual: bool) -> None:
    population = build_model(config(14, residual=residual, width=4), IMAGE, 10, [7, 8]).double()
    assert isinstance(population, ResNet)
    images = torch.randn(2, 6, *IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits = population(images)
    logits.square().sum().backward()
    for replica in range(2):
        plain = plain_resnet(2, residual, 4).double()
        copy_weights(population, replica, plain)
        expected = plain(images[replica])
        torch.testing.assert_close(logits[replica], expected)
        expected.square().sum().backward()
        first = plain[0].weight.grad
        assert isinstance(first, Tensor)
        ours = population.hidden_layers[0].get_parameter("linear.weight").grad
        assert ours is not None
        torch.testing.assert_close(ours[replica], first)
    population.eval()
    assert population(images).shape == (2, 6, 10)


def test_the_shortcut_takes_every_second_pixel_and_pads_the_channels_on_both_sides() -> None:
    x = torch.randn(2, 3, 4, 8, 8)
    y = shortcut(x, 10)
    assert y.shape == (2, 3, 10, 4, 4)
    torch.testing.assert_close(y[:, :, 3:7], x[..., ::2, ::2], rtol=0, atol=0)
    assert not y[:, :, :3].any()
    assert not y[:, :, 7:].any()
    assert shortcut(x, 4) is x


def test_without_normalisation_the_convolutions_have_biases() -> None:
    network = build_model(config(8, norm="none", bias="normal"), IMAGE, 10, [0])
    biases = [layer.get_submodule("linear").bias for layer in network.hidden_layers]
    assert all(isinstance(bias, Tensor) and bias.any() for bias in biases)
    normalised = build_model(config(8, bias="normal"), IMAGE, 10, [0])
    assert all(layer.get_submodule("linear").bias is None for layer in normalised.hidden_layers)
    assert normalised.output.bias is not None
    assert normalised.output.bias.any()
