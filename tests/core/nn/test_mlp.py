"""The perceptron's shape: depth, widths, what is flattened. Its arithmetic is held against torch in test_build.py."""

from __future__ import annotations

import pytest
import torch

from vgtemplate.config.network import ModelConfig
from vgtemplate.nn.mlp import MLP


def test_widths_are_cycled_over_the_hidden_layers() -> None:
    network = MLP(ModelConfig(depth=5, width=[8, 3]), (1, 4, 4), 10, [0, 1])
    shapes = [tuple(layer.linear.weight.shape) for layer in network.hidden_layers]
    assert shapes == [(2, 16, 8), (2, 8, 3), (2, 3, 8), (2, 8, 3), (2, 3, 8)]
    assert network.output.weight.shape == (2, 8, 10)


@pytest.mark.parametrize("depth", [1, 50])
def test_images_become_logits_at_any_depth(depth: int) -> None:
    network = MLP(ModelConfig(depth=depth, width=6), (3, 5, 4), 7, [0, 1])
    assert network(torch.ones(2, 9, 3, 5, 4)).shape == (2, 9, 7)
    assert len(network.hidden_layers) == depth


def test_vectors_are_taken_as_they_are() -> None:
    network = MLP(ModelConfig(depth=2, width=6), (1, 5, 4), 7, [0])
    images = torch.arange(40.0).view(1, 2, 1, 5, 4)
    assert torch.equal(network(images), network(images.view(1, 2, 20)))


def test_hidden_layers_but_the_first_have_shortcuts() -> None:
    network = MLP(ModelConfig(depth=4, width=20, residual=True), (1, 5, 4), 7, [0])
    assert [layer.residual for layer in network.hidden_layers] == [False, True, True, True]


def test_one_replica_is_an_ordinary_network() -> None:
    """Its parameters are as many as the formula of Nielsen's network gives."""
    network = MLP(ModelConfig(depth=2, width=30), (1, 28, 28), 10, [4])
    assert sum(p.numel() for p in network.parameters()) == (784 + 1) * 30 + 31 * 30 + 31 * 10
