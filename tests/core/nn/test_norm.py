"""Batch and layer normalisation with the replica axis against torch.nn's modules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from vgtemplate.nn.noise import set_step
from vgtemplate.nn.norm import BatchNorm, LayerNorm, UnitNoise

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


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (BatchNorm, lambda: nn.BatchNorm1d(C, affine=False)),
        (LayerNorm, lambda: nn.LayerNorm(C, elementwise_affine=False)),
    ],
)
def test_without_scale_and_shift_there_is_nothing_to_learn(
    kind: type[nn.Module], plain: Callable[[], nn.Module]
) -> None:
    norm = kind(2, C, affine=False).double()
    assert list(norm.parameters()) == []
    others = [plain().double() for _ in range(2)]
    for seed in range(2):
        x = inputs(2, VECTORS, seed)
        expected = torch.stack([other(x[replica]) for replica, other in enumerate(others)])
        torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-12)
    norm.eval()
    expected = torch.stack([other.eval()(x[replica]) for replica, other in enumerate(others)])
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-12)


def scale_and_shift(seeds: list[int], step: int, layer: int = 0, batch: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """What a UnitNoise multiplies each value with and adds to it, (R, B, C): from inputs of 0 and of 1."""
    noise = UnitNoise(seeds, layer).double()
    set_step(noise, step)
    zeros = torch.zeros(len(seeds), batch, C, dtype=torch.float64)
    shift = noise(zeros)
    return (noise(zeros + 1) - shift).numpy(), shift.numpy()


def test_noise_of_units_is_drawn_anew_for_each_unit_step_and_replica_and_jitters_around_it() -> None:
    units: dict[str, list[float]] = {"scale": [], "shift": []}
    for step in range(40):
        scale, shift = scale_and_shift([3, 4], step)
        for values, law in ((scale, stats.norm(scale=0.1)), (shift, stats.uniform(-0.1, 0.2))):
            rest = values - values.mean(axis=1, keepdims=True)
            assert stats.kstest(rest.ravel(), law.cdf).pvalue > 1e-5
        units["scale"] += scale.mean(axis=1).ravel().tolist()
        units["shift"] += shift.mean(axis=1).ravel().tolist()
    # 320 units; their means are known to 0.0016.
    assert stats.kstest(units["scale"], stats.uniform(1, 0.25).cdf).pvalue > 0.001
    assert stats.kstest(units["shift"], stats.uniform(-0.5, 1).cdf).pvalue > 0.001
    assert abs(np.corrcoef(units["scale"], units["shift"])[0, 1]) < 0.2


def test_noise_of_units_depends_on_seed_layer_and_step_alone() -> None:
    again, other = scale_and_shift([4], 7), scale_and_shift([3, 4], 7)
    for alone, together in zip(again, other, strict=True):
        np.testing.assert_array_equal(alone[0], together[1])
    for seeds, step, layer in (([5], 7, 0), ([4], 8, 0), ([4], 7, 1)):
        assert not np.isclose(scale_and_shift(seeds, step, layer)[1], again[1]).any()


def test_noise_of_units_is_at_its_mean_in_evaluation_and_shared_by_a_channel() -> None:
    noise = UnitNoise([0, 1], 0).double()
    x = inputs(2, IMAGES, 0)
    torch.testing.assert_close(noise.eval()(x), 1.125 * x)
    shift = noise.train()(torch.zeros(2, 6, C, 30, 20, dtype=torch.float64))
    assert shift.shape == (2, 6, C, 30, 20)
    assert float(shift.mean(dim=(1, 3, 4)).var()) > 10 * float((shift.mean(dim=(3, 4)).var(dim=1)).mean())
