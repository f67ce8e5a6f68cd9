"""What stands where in a hidden layer: norm, activation, dropout, shortcut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.config.network import ModelConfig
from vgtemplate.nn.blocks import HiddenLayer
from vgtemplate.nn.conv import Conv2d
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.noise import set_step

SEEDS = [0, 1]


def layer(in_width: int = 4, width: int = 4, index: int = 1, stride: int = 0, **settings: Any) -> HiddenLayer:
    """A fully connected layer, or a convolution where a stride is given."""
    config = ModelConfig.model_validate({"activation": "tanh", **settings})
    draws = build_draws(config.initialiser, config.bias, SEEDS)
    linear = Conv2d(in_width, width, draws, stride=stride) if stride else Linear(in_width, width, draws)
    return HiddenLayer(config, linear, in_width, width, index, SEEDS).double()


def vectors() -> Tensor:
    return torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def images(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, 4, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norm_stands_before_or_after_the_activation(norm: str) -> None:
    x = vectors()
    before, after = layer(norm=norm, norm_position="before"), layer(norm=norm, norm_position="after")

    def normalise(h: Tensor) -> Tensor:
        axis = 1 if norm == "batch" else 2
        return (h - h.mean(axis, keepdim=True)) / (h.var(axis, keepdim=True, unbiased=False) + 1e-5).sqrt()

    torch.testing.assert_close(before(x), torch.tanh(normalise(before.linear(x))))
    torch.testing.assert_close(after(x), normalise(torch.tanh(after.linear(x))))


@pytest.mark.parametrize("position", ["before", "after"])
def test_noise_of_units_stands_right_after_the_norm(position: str) -> None:
    x, settings = vectors(), {"norm": "batch", "norm_position": position, "norm_affine": False}
    plain, noisy = layer(**settings), layer(norm_noise=True, **settings)
    for block in (plain, noisy):
        set_step(block, 5)
    norm, noise = noisy.norm_before or noisy.norm_after
    h = noisy.linear(x)
    h = torch.tanh(noise(norm(h))) if position == "before" else noise(norm(torch.tanh(h)))
    torch.testing.assert_close(noisy(x), h)
    assert not torch.isclose(plain(x), noisy(x)).any()
    assert len(list(noisy.parameters())) == 2


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_activation_receives_the_pre_activation(norm: str) -> None:
    """After the norm where that stands before it: the quantity whose gradient is probed."""
    block, seen = layer(norm=norm), []
    block.activation.register_forward_hook(lambda _, inputs, output: seen.extend([*inputs, output]))
    y = block(vectors())
    assert torch.equal(torch.tanh(seen[0]), y)
    assert torch.equal(seen[1], y)


def test_shortcut_adds_the_input_to_the_branch() -> None:
    plain, residual = layer(residual=False), layer(residual=True)
    x = vectors()
    torch.testing.assert_close(residual(x), x + plain(x))


def test_shortcut_takes_the_input_past_the_dropout() -> None:
    block = layer(residual=True, dropout=0.999)
    x = vectors()
    share_untouched = (block(x) == x).double().mean()
    assert share_untouched > 0.9


@pytest.mark.parametrize(
    ("in_width", "index", "residual"), [(4, 1, True), (3, 1, False), (4, 0, False)], ids=["fits", "narrower", "first"]
)
def test_shortcut_only_between_hidden_layers_of_one_width(in_width: int, index: int, residual: bool) -> None:
    assert layer(in_width=in_width, index=index, residual=True).residual is residual


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (4, 6), (7, 7)])
def test_shortcut_of_a_striding_convolution_takes_every_second_pixel(size: tuple[int, int]) -> None:
    plain, residual = layer(stride=2, residual=False), layer(stride=2, residual=True)
    x = images(*size)
    expected = torch.stack([F.avg_pool2d(replica, kernel_size=1, stride=2) for replica in x])
    torch.testing.assert_close(residual(x), expected + plain(x))


def test_shortcut_passes_the_gradient_undiminished() -> None:
    block = layer(residual=True)
    with torch.no_grad():
        block.linear.weight.zero_()
    x = vectors().requires_grad_()
    block(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_dropout_acts_on_the_activations_in_training_only() -> None:
    block, bare = layer(dropout=0.5), layer()
    x = vectors()
    y, expected = block(x), bare(x)
    kept = y != 0
    assert 0.3 < kept.double().mean() < 0.7
    torch.testing.assert_close(y[kept], 2 * expected[kept])
    assert torch.equal(block.eval()(x), expected)


def test_layers_and_kinds_of_noise_draw_differently() -> None:
    """Random slopes and dropout of one layer, and dropout of two layers, must not share their numbers."""
    first, second = (layer(index=index, activation="rrelu", dropout=0.5) for index in (0, 1))
    sources = [first.activation.noise, first.dropout.noise, second.activation.noise, second.dropout.noise]
    numbers = [source.uniform(torch.empty(2, 5)) for source in sources]
    assert len({tuple(number.flatten().tolist()) for number in numbers}) == 4


def test_noise_is_the_same_at_the_same_step() -> None:
    block, x = layer(dropout=0.5), vectors()
    first = block(x)
    set_step(block, 1)
    assert not torch.equal(block(x), first)
    set_step(block, 0)
    assert torch.equal(block(x), first)
