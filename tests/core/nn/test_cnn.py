"""The convolutional network's stages and sizes. Its arithmetic is held against torch in test_build.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from vgtemplate.config.network import ModelConfig
from vgtemplate.nn.cnn import CNN


def network(shape: tuple[int, int, int] = (1, 8, 8), **settings: Any) -> CNN:
    return CNN(ModelConfig.model_validate({"kind": "cnn", "width": 4, **settings}), shape, 10, [0, 1])


@pytest.mark.parametrize(
    ("depth", "num_stages", "expected"),
    [
        (6, 3, [1, 1, 2, 1, 2, 1]),
        (4, 1, [1, 1, 1, 1]),
        (7, 2, [1, 1, 1, 2, 1, 1, 1]),
        (3, 3, [1, 2, 2]),
        (1, 8, [1]),
        (2, 8, [1, 2]),
    ],
)
def test_image_is_halved_between_stages_of_equal_length(depth: int, num_stages: int, expected: list[int]) -> None:
    assert ModelConfig.model_validate({"kind": "cnn", "depth": depth, "num_stages": num_stages}).strides() == expected


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (28, 28), (1, 1)])
def test_size_is_halved_and_rounded_up(size: tuple[int, int]) -> None:
    x, sizes = torch.ones(2, 3, 1, *size), []
    for layer in network(depth=6, num_stages=3).hidden_layers:
        x = layer(x)
        sizes.append(tuple(x.shape[-2:]))
    height, width = size
    half = (-(-height // 2), -(-width // 2))
    quarter = (-(-height // 4), -(-width // 4))
    assert sizes == [size, size, half, half, quarter, quarter]


def test_channels_are_cycled_over_the_hidden_layers() -> None:
    cnn = network((3, 6, 6), depth=3, width=[5, 2])
    assert [tuple(layer.linear.weight.shape) for layer in cnn.hidden_layers] == [
        (2, 5, 3, 3, 3),
        (2, 2, 5, 3, 3),
        (2, 5, 2, 3, 3),
    ]
    assert cnn(torch.ones(2, 7, 3, 6, 6)).shape == (2, 7, 10)


def test_pixels_are_averaged_before_the_output_layer() -> None:
    """An image repeated side by side is the same to 1x1 receptive fields, hence to kernels whose rim is 0."""
    cnn = network(depth=2, num_stages=1)
    with torch.no_grad():
        for layer in cnn.hidden_layers:
            rim = torch.ones(3, 3, dtype=torch.bool)
            rim[1, 1] = False
            layer.linear.weight[..., rim] = 0
    x = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cnn(x.repeat(1, 1, 1, 1, 2)), cnn(x))


def test_image_out_keeps_the_size_and_equals_plain_convolutions() -> None:
    cnn = network((3, 6, 5), depth=2, output="image", activation="tanh")
    x = torch.randn(2, 4, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    images = cnn(x)
    assert images.shape == x.shape
    for r in range(2):
        h = x[r]
        for layer in cnn.hidden_layers:
            h = torch.tanh(F.conv2d(h, layer.linear.weight[r], layer.linear.bias[r], padding=1))
        expected = F.conv2d(h, cnn.output.weight[r], cnn.output.bias[r], padding=1)
        torch.testing.assert_close(images[r], expected)
