"""The grouped convolution with the replica axis against torch.nn.Conv2d."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vgtemplate.config.network import InitialiserConfig
from vgtemplate.nn.conv import Conv2d, fold, unfold
from vgtemplate.nn.initialisers import Draws, build_draws


def draws(num_replicas: int, bias: str = "normal") -> Draws:
    return build_draws(InitialiserConfig(name="he_normal"), bias, range(num_replicas))


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 4), (8, 8)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("bias", ["normal", "none"])
def test_layer_is_as_many_plain_convolutions_as_replicas(
    bias: str, kernel_size: int, stride: int, size: tuple[int, int]
) -> None:
    layer = Conv2d(2, 3, draws(2, bias), kernel_size, stride).double()
    x = torch.randn(2, 4, 2, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = layer(x)
    for replica in range(2):
        plain = nn.Conv2d(2, 3, kernel_size, stride, kernel_size // 2, bias=bias != "none", dtype=torch.float64)
        with torch.no_grad():
            plain.weight.copy_(layer.weight[replica])
            if bias != "none":
                plain.bias.copy_(layer.bias[replica])
        torch.testing.assert_close(y[replica], plain(x[replica]), rtol=0, atol=1e-12)


def test_fold_puts_replicas_and_channels_side_by_side() -> None:
    x = torch.arange(2 * 3 * 4 * 5 * 6).view(2, 3, 4, 5, 6)
    folded = fold(x)
    assert folded.shape == (3, 8, 5, 6)
    assert torch.equal(folded[1], torch.cat([x[0, 1], x[1, 1]]))


def test_unfold_undoes_fold_and_folding_again_copies_nothing() -> None:
    x = torch.arange(2 * 3 * 4 * 5 * 6).view(2, 3, 4, 5, 6)
    folded = fold(x)
    assert torch.equal(unfold(folded, 2), x)
    assert fold(unfold(folded, 2)).data_ptr() == folded.data_ptr()


def test_diverged_replica_leaves_the_others_as_they_were() -> None:
    layer = Conv2d(2, 3, draws(3))
    x = torch.ones(3, 2, 2, 4, 4)
    before = layer(x).detach()
    with torch.no_grad():
        layer.weight[1].fill_(torch.inf)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y[[0, 2]], before[[0, 2]])
    assert layer.weight.grad[[0, 2]].isfinite().all()


def test_layer_says_its_sizes() -> None:
    assert "3 replicas, out_channels=5, in_channels=2, kernel_size=3" in repr(Conv2d(2, 5, draws(3)))
