"""The replica axis of the fully connected layer against torch.nn.Linear."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vgtemplate.config.network import InitialiserConfig
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear


@pytest.mark.parametrize("bias", ["normal", "none"])
@pytest.mark.parametrize("num_replicas", [1, 3])
def test_layer_is_as_many_plain_linear_layers_as_replicas(num_replicas: int, bias: str) -> None:
    draws = build_draws(InitialiserConfig(name="he_normal"), bias, range(num_replicas))
    layer = Linear(5, 4, draws).double()
    assert layer.weight.shape == (num_replicas, 5, 4)
    x = torch.randn(num_replicas, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for replica in range(num_replicas):
        plain = nn.Linear(5, 4, bias=bias != "none", dtype=torch.float64)
        with torch.no_grad():
            plain.weight.copy_(layer.weight[replica].T)
            if bias != "none":
                plain.bias.copy_(layer.bias[replica])
        torch.testing.assert_close(layer(x)[replica], plain(x[replica]), rtol=0, atol=1e-12)


def test_diverged_replica_leaves_the_others_as_they_were() -> None:
    layer = Linear(5, 4, build_draws(InitialiserConfig(name="he_normal"), "normal", range(3)))
    x = torch.ones(3, 2, 5)
    before = layer(x).detach()
    with torch.no_grad():
        layer.weight[1].fill_(torch.inf)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y[[0, 2]], before[[0, 2]])
    assert layer.weight.grad[[0, 2]].isfinite().all()


def test_layer_says_its_sizes() -> None:
    layer = Linear(5, 4, build_draws(InitialiserConfig(name="he_normal"), "none", range(3)))
    assert "3 replicas, in_features=5, out_features=4" in repr(layer)
