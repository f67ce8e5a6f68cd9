"""The statistics against NumPy's closed forms, in every precision, with replicas that never touch each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from vgtemplate import measure

SHAPES = [(3, 5), (2, 4, 7), (3, 2, 3, 4, 5), (1, 6, 2), (4, 1, 1)]
Array = npt.NDArray[np.float64]


def draw(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def over_all_but_first(function: Callable[[Array], Any], x: Array) -> Array:
    return np.array([function(replica) for replica in x])


def saturated(derivative: Array) -> float:
    return float(np.mean(np.abs(derivative) < 0.1 * 0.25))


def saturated_fraction(derivative: Tensor, max_derivative: float) -> Tensor:
    share = measure.slopes(derivative.clone(), max_derivative)[1]
    assert share is not None
    return share


CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Array], Any]]] = {
    "norm": (measure.norm, lambda x: np.sqrt(np.sum(x**2))),
    "rms": (measure.rms, lambda x: np.sqrt(np.mean(x**2))),
    "mean": (measure.mean, np.mean),
    "saturated_fraction": (lambda x: saturated_fraction(x, 0.25), saturated),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_statistic_is_numpys(name: str, shape: tuple[int, ...]) -> None:
    ours, closed_form = CASES[name]
    x = 0.05 * draw(shape)
    result = ours(torch.from_numpy(x))
    assert result.shape == (shape[0],)
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result.numpy(), over_all_but_first(closed_form, x), rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize("name", ["norm", "rms", "mean"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_is_summed_in_double(name: str, dtype: torch.dtype) -> None:
    ours, closed_form = CASES[name]
    x = torch.from_numpy(0.05 * draw((2, 300, 7))).to(dtype)
    result = ours(x)
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result.numpy(), over_all_but_first(closed_form, x.double().numpy()), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (2, 300, 7), (2, 128, 784), (2, 32, 8, 28, 28)])
@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e-19, 1e-13, 1e-6, 1.0, 1e12, 1e20, 1e33])
def test_single_precision_is_right_to_a_millionth_whatever_the_size(shape: tuple[int, ...], size: float) -> None:
    x = torch.from_numpy(size * draw(shape)).float()
    stored = x.double().numpy()
    for name, tolerance in (("norm", 2e-6), ("rms", 2e-6)):
        ours, closed_form = CASES[name]
        assert ours(x).dtype == torch.float64
        np.testing.assert_allclose(ours(x).numpy(), over_all_but_first(closed_form, stored), rtol=tolerance)
    spread = np.abs(stored).reshape(len(x), -1).mean(axis=1) + 1e-37  # a sum ends at the smallest normal number
    assert (np.abs(measure.mean(x).numpy() - over_all_but_first(np.mean, stored)) < 1e-7 * spread).all()


def test_mean_that_single_precision_cannot_sum_is_a_number() -> None:
    assert measure.mean(torch.full((2, 100), 3e38)).tolist() == pytest.approx([3e38] * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_are_each_ones_norm_also_where_one_vanishes_or_is_not_finite(dtype: torch.dtype) -> None:
    sizes = [1.0, 1e-30, 0.0, 1e25, float("nan"), float("inf"), 1e-13]
    tensors = [torch.from_numpy(draw((3, 4, 5), seed)).to(dtype) * size for seed, size in enumerate(sizes)]
    found = measure.norms(tensors)
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found.numpy(), torch.stack(list(map(measure.norm, tensors)), dim=1).numpy())
    left = measure.norms(tensors, [tensor * 0.5 for tensor in tensors]).numpy()
    finite = np.isfinite(sizes)
    np.testing.assert_allclose(left[:, finite], found.numpy()[:, finite] / 2, rtol=1e-6)
    assert not np.isfinite(left[:, ~finite]).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e-30, 0.0, 3e38])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 2, 3, 4, 5)])
def test_replica_beside_one_that_single_precision_does_not_hold_changes_by_no_bit(
    shape: tuple[int, ...], bad: float
) -> None:
    x = torch.from_numpy(draw(shape)).float()
    alone = [measure.norm(x), measure.mean(x), measure.norms([x, 2 * x])]
    x[1] = bad
    beside = [measure.norm(x), measure.mean(x), measure.norms([x, 2 * x])]
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one[[0, 2]], other[[0, 2]])


def test_slopes_need_no_largest_derivative() -> None:
    size, share = measure.slopes(torch.tensor([[3.0, 4.0]]), None)
    assert size.tolist() == pytest.approx([12.5**0.5])
    assert share is None


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements=st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: 0.0 if abs(x) < 1e-100 else x),
    )
)
def test_rms_and_norm_agree_with_each_other_and_with_numpy(x: Array) -> None:
    tensor = torch.from_numpy(x)
    count = x[0].size
    np.testing.assert_allclose(measure.norm(tensor).numpy(), np.linalg.norm(x.reshape(len(x), -1), axis=1), rtol=1e-12)
    np.testing.assert_allclose(measure.rms(tensor).numpy() * np.sqrt(count), measure.norm(tensor).numpy(), rtol=1e-12)


@pytest.mark.parametrize("size", [1e-30, 1e-38, 1e-44])
def test_vanished_single_precision_gradient_does_not_underflow(size: float) -> None:
    x = torch.full((2, 10, 10), size, dtype=torch.float32)
    stored = float(x[0, 0, 0])  # a subnormal number has few digits
    np.testing.assert_allclose(measure.rms(x).numpy(), [stored] * 2, rtol=1e-12)
    np.testing.assert_allclose(measure.norm(x).numpy(), [stored * 10] * 2, rtol=1e-12)


def test_exploded_single_precision_gradient_does_not_overflow() -> None:
    x = torch.full((1, 100), 3e38, dtype=torch.float32)
    assert measure.rms(x).item() == pytest.approx(float(x[0, 0]), rel=1e-12)


@pytest.mark.parametrize("size", [1e-150, 1e-60, 1e100, 1e150])
def test_double_precision_reaches_what_a_hundred_sigmoid_layers_leave(size: float) -> None:
    assert measure.rms(torch.full((1, 64), size, dtype=torch.float64)).item() == pytest.approx(size, rel=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", CASES)
def test_replica_that_is_not_finite_does_not_touch_the_others(name: str, bad: float) -> None:
    ours, _ = CASES[name]
    x = torch.from_numpy(0.05 * draw((3, 4, 5)))
    alone = ours(x)
    x[1, 2, 3] = bad
    beside = ours(x)
    assert torch.equal(beside[[0, 2]], alone[[0, 2]])
    if name != "saturated_fraction" or np.isnan(bad):
        assert not beside[1].isfinite()


def test_saturated_is_strictly_below_a_tenth_of_the_largest_derivative() -> None:
    derivative = torch.tensor([[0.0249, -0.0249, 0.0251, 0.0], [0.1 * 0.25, 0.1, -0.2, 0.03]], dtype=torch.float64)
    assert saturated_fraction(derivative, 0.25).tolist() == [0.75, 0.0]


def test_dead_unit_lets_no_gradient_pass_for_any_image() -> None:
    derivative = torch.ones(2, 3, 4)
    derivative[0, :, 1] = 0.000999
    derivative[1, :2, 1] = 0  # the third image wakes it
    derivative[1, :, 3] = -0.0009
    derivative[1, 0, 2] = 0.001
    assert measure.dead_units(derivative).tolist() == [[False, True, False, False], [False, False, False, True]]


def test_dead_channel_is_dead_at_every_pixel_of_every_image() -> None:
    derivative = torch.zeros(2, 3, 4, 5, 6)
    derivative[0, 2, 1, 4, 5] = -1e-3
    found = measure.dead_units(derivative)
    assert found.shape == (2, 4)
    assert found.tolist() == [[True, False, True, True], [True] * 4]


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.int64, st.tuples(*[st.integers(1, 3)] * 5), elements=st.integers(0, 1)))
def test_dead_channels_are_numpys(x: npt.NDArray[np.int64]) -> None:
    derivative = torch.from_numpy(x).float()
    assert measure.dead_units(derivative).tolist() == np.all(x == 0, axis=(1, 3, 4)).tolist()
    flat = x[..., 0, 0]
    assert measure.dead_units(torch.from_numpy(flat).float()).tolist() == np.all(flat == 0, axis=1).tolist()


def test_nan_is_not_death() -> None:
    derivative = torch.zeros(2, 3, 4)
    derivative[0] = float("nan")
    assert measure.dead_units(derivative).tolist() == [[False] * 4, [True] * 4]


def test_update_ratio_is_the_step_over_the_weights() -> None:
    before, step = draw((3, 4, 5), 1), draw((3, 4, 5), 2) * 1e-3
    sizes = measure.norms([torch.from_numpy(before)])
    ratio = measure.update_ratios([torch.from_numpy(before)], [torch.from_numpy(before + step)], sizes)[:, 0]
    expected = np.linalg.norm(step.reshape(3, -1), axis=1) / np.linalg.norm(before.reshape(3, -1), axis=1)
    np.testing.assert_allclose(ratio.numpy(), expected, rtol=1e-9)


def test_update_ratio_of_weights_that_stay_is_zero_and_of_zero_weights_not_finite() -> None:
    weights = torch.ones(2, 3, 3)
    before, after = [weights, weights * 0, weights * 0], [weights.clone(), weights, weights * 0]
    still, from_zero, at_zero = measure.update_ratios(before, after, measure.norms(before)).T
    assert still.tolist() == [0.0, 0.0]
    assert from_zero.tolist() == [float("inf")] * 2
    assert at_zero.isnan().all()


def test_arguments_are_left_alone() -> None:
    x = torch.from_numpy(draw((2, 3, 4, 5, 6)))
    kept = x.clone()
    for ours, _ in CASES.values():
        ours(x)
    measure.dead_units(x)
    measure.update_ratios([x], [x], measure.norms([x]))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("name", CASES)
def test_memory_layout_does_not_matter(name: str) -> None:
    ours, closed_form = CASES[name]
    x = 0.05 * draw((4, 2, 3, 5, 6))
    turned = torch.from_numpy(x).transpose(0, 1)
    np.testing.assert_allclose(ours(turned).numpy(), over_all_but_first(closed_form, np.swapaxes(x, 0, 1)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 6, 4, 3), (2, 6, 3, 4, 5), (2, 1, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_moments_are_numpys_of_every_unit(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.from_numpy(100 + draw(shape)).to(dtype)
    means, deviations = measure.moments(x)
    axes = (1, *range(3, len(shape)))
    assert means.dtype == deviations.dtype == torch.float64
    np.testing.assert_allclose(means.numpy(), x.double().numpy().mean(axis=axes), rtol=1e-13)
    np.testing.assert_allclose(deviations.numpy(), x.double().numpy().std(axis=axes), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1.0, 1e-7, 3e20])
def test_deviation_of_a_constant_is_exactly_zero(value: float) -> None:
    means, deviations = measure.moments(torch.full((2, 999, 3), value, dtype=torch.float64))
    assert (means == value).all()
    assert (deviations == 0).all()


def test_moment_shift_in_numbers() -> None:
    before = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 2.0]])
    after = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.5, 4.0]])
    assert measure.moment_shift(before, after).tolist() == [((3 + 0.5) / 1 + (1 + 2) / 2) / 2]
    assert measure.moment_shift(before, before).tolist() == [0.0]


def test_moment_shift_leaves_constant_units_out() -> None:
    means, deviations = torch.zeros(3, 2), torch.tensor([[2.0, 0.0], [0.0, 0.0], [torch.nan, 1.0]])
    first, second, third = measure.moment_shift((means, deviations), (means + 1, deviations)).tolist()
    assert first == 0.5
    assert np.isnan(second)
    assert np.isnan(third)


def test_moment_shift_is_that_of_a_scaled_and_moved_normal() -> None:
    x = torch.from_numpy(draw((2, 500, 6)))
    means, deviations = measure.moments(x)
    found = measure.moment_shift((means, deviations), measure.moments(3 * x + 1))
    expected = ((2 * means + 1).abs() / deviations + 2).mean(dim=1)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_gradient_change_in_numbers() -> None:
    gradient = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [torch.nan, 1.0]])
    changed = torch.tensor([[3.0, 4.0], [-3.0, -4.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = measure.gradient_change(gradient, changed).numpy()
    np.testing.assert_array_equal(found, [0.0, 2.0, np.nan, np.nan, np.nan])
