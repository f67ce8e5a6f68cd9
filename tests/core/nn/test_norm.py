"""Batch and layer normalisation with the replica axis against torch.nn's modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vgtemplate.nn.norm import BatchNorm, LayerNorm

C, B = 4, 6
VECTORS, IMAGES = (B, C), (B, C, 5, 3)


def inputs(num_replicas: int, shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_replicas, *shape, generator=generator, dtype=torch.float64) * 3 + 1


def copy_of(norm: nn.Module, plain: nn.Module, replica: int) -> nn.Module:
    with torch.no_grad():
        for name, tensor in norm.state_dict().items():
            getattr(plain, name).copy_(tensor[replica])
    return plain.double()


def with_random_scale(norm: nn.Module) -> nn.Module:
    norm = norm.double()
    with torch.no_grad():
        for seed, parameter in enumerate(norm.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return norm


@pytest.mark.parametrize(("shape", "plain"), [(VECTORS, nn.BatchNorm1d), (IMAGES, nn.BatchNorm2d)])
@pytest.mark.parametrize("num_replicas", [1, 3])
def test_batch_norm_is_torchs_in_training_and_evaluation(
    num_replicas: int, shape: tuple[int, ...], plain: type[nn.Module]
) -> None:
    norm = with_random_scale(BatchNorm(num_replicas, C))
    others = [copy_of(norm, plain(C), replica) for replica in range(num_replicas)]
    for seed in range(3):
        x = inputs(num_replicas, shape, seed)
        y = norm(x)
        for replica, other in enumerate(others):
            torch.testing.assert_close(y[replica], other(x[replica]), rtol=0, atol=1e-12)
            torch.testing.assert_close(norm.running_mean[replica], other.running_mean, rtol=0, atol=1e-12)
            torch.testing.assert_close(norm.running_var[replica], other.running_var, rtol=0, atol=1e-12)
    norm.eval()
    statistics = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    y = norm(x)
    for replica, other in enumerate(others):
        torch.testing.assert_close(y[replica], other.eval()(x[replica]), rtol=0, atol=1e-12)
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, statistics[name])


@pytest.mark.parametrize(
    ("shape", "plain"), [(VECTORS, lambda: nn.LayerNorm(C)), (IMAGES, lambda: nn.GroupNorm(1, C))], ids=["1d", "2d"]
)
def test_layer_norm_is_torchs(shape: tuple[int, ...], plain: type[nn.Module]) -> None:
    norm = with_random_scale(LayerNorm(3, C))
    x = inputs(3, shape, 0)
    y = norm(x)
    for replica in range(3):
        torch.testing.assert_close(y[replica], copy_of(norm, plain(), replica)(x[replica]), rtol=0, atol=1e-12)
    assert torch.equal(norm.eval()(x), y)


@pytest.mark.parametrize("shape", [VECTORS, IMAGES])
@pytest.mark.parametrize("norm", [BatchNorm, LayerNorm])
def test_diverged_replica_leaves_the_others_as_they_were(norm: type[nn.Module], shape: tuple[int, ...]) -> None:
    healthy, ill = norm(3, C).double(), norm(3, C).double()
    x = inputs(3, shape, 0)
    expected = healthy(x)
    x[1] = torch.nan
    assert torch.equal(ill(x)[[0, 2]], expected[[0, 2]])
    for ours, theirs in zip(ill.state_dict().values(), healthy.state_dict().values(), strict=True):
        assert torch.equal(ours[[0, 2]], theirs[[0, 2]])


def test_running_statistics_survive_saving() -> None:
    norm = BatchNorm(2, C).double()
    norm(inputs(2, VECTORS, 0))
    other = BatchNorm(2, C).double()
    other.load_state_dict(norm.state_dict())
    x = inputs(2, VECTORS, 1)
    assert torch.equal(other.eval()(x), norm.eval()(x))
