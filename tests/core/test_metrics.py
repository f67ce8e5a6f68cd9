"""Each metric against a closed form on a record made by hand, and what it does with numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.core.measured import SLOPES, R, gradient, make, metric
from vgtemplate.metrics import FUNCTIONS, fit_line
from vgtemplate.records import Record


def test_exponential_profile_gives_its_own_slope_and_a_perfect_fit() -> None:
    record = make(gradient_rms=gradient(SLOPES))
    np.testing.assert_allclose(metric("gradient_slope", record), SLOPES, atol=1e-13)
    np.testing.assert_allclose(metric("abs_gradient_slope", record), abs(SLOPES), atol=1e-13)
    np.testing.assert_allclose(metric("gradient_fit_r2", record)[[0, 2]], 1.0, rtol=1e-12)


def test_slope_is_negative_where_the_gradient_vanishes_towards_the_input() -> None:
    vanishing = np.tile([1e-5, 1e-4, 1e-3, 1e-2, 1e-1], (R, 1))
    assert (metric("gradient_slope", make(5, gradient_rms=vanishing)) < 0).all()
    assert (metric("gradient_slope", make(5, gradient_rms=vanishing[:, ::-1])) > 0).all()


def test_first_hidden_layer_and_later_probes_do_not_count() -> None:
    record = make(gradient_rms=gradient(SLOPES), signal_rms=gradient(SLOPES))
    series = dict(record.series)
    for name in ("gradient_rms", "signal_rms"):
        series[name] = np.concatenate([record.series[name], 10.0 ** np.arange(18.0).reshape(3, 1, 6)], axis=1)
        series[name][:, 0, 0] = 1e9
    changed = Record("k", "a", record.configuration, record.seeds, {}, {}, 0.0, series)
    for name in ("gradient_slope", "signal_slope"):
        np.testing.assert_array_equal(metric(name, changed), metric(name, record))


def test_signal_slope_is_per_layer_of_depth() -> None:
    record = make(signal_rms=gradient(SLOPES)[:, ::-1], gradient_rms=gradient(-2 * SLOPES))
    np.testing.assert_allclose(metric("signal_slope", record), SLOPES, atol=1e-13)
    np.testing.assert_allclose(metric("abs_signal_slope", record), abs(SLOPES), atol=1e-13)
    np.testing.assert_allclose(metric("larger_abs_slope", record), 2 * abs(SLOPES), atol=1e-13)
    swapped = make(gradient_rms=gradient(SLOPES), signal_rms=gradient(3 * SLOPES))
    np.testing.assert_allclose(metric("larger_abs_slope", swapped), 3 * abs(SLOPES), atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 12))
def test_fit_is_scipys(seed: int, replicas: int, layers: int) -> None:
    y = np.random.default_rng(seed).normal(size=(replicas, layers)) * 10
    slope, r2 = fit_line(y)
    expected = [stats.linregress(np.arange(layers), line) for line in y]
    np.testing.assert_allclose(slope, [line.slope for line in expected], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(r2, [line.rvalue**2 for line in expected], rtol=1e-7, atol=1e-9)


def test_metric_fits_log10_of_the_noisy_profile() -> None:
    profile = 10.0 ** np.random.default_rng(1).normal(size=(R, 8))
    record = make(8, gradient_rms=profile, signal_rms=profile)
    distance = 8 - np.arange(2, 9)  # of hidden layers 2 to 8 from the output
    for row in range(R):
        expected = stats.linregress(distance, np.log10(profile[row, 1:]))
        assert metric("gradient_slope", record)[row] == pytest.approx(expected.slope, rel=1e-12)
        assert metric("gradient_fit_r2", record)[row] == pytest.approx(expected.rvalue**2, rel=1e-12)
        assert metric("signal_slope", record)[row] == pytest.approx(-expected.slope, rel=1e-12)


def test_factor_of_a_layer_is_that_of_the_register() -> None:
    rng = np.random.default_rng(2)
    widths = [3, 5, 7, 13, 2]
    weight, derivative = rng.uniform(0.1, 2, (2, R, 5))
    slopes = np.array([-0.3, 0.2, 0.1])
    record = make(5, widths, weight_rms=weight, derivative_rms=derivative, gradient_rms=gradient(slopes, 5))
    logs = np.empty((R, 3))
    for step, layer in enumerate((2, 3, 4)):  # from layer + 1 down to layer; both counted from 1
        units_above = widths[layer]
        logs[:, step] = np.log10(np.sqrt(units_above * weight[:, layer] ** 2 * derivative[:, layer - 1] ** 2))
    factor = logs.mean(axis=1)
    np.testing.assert_allclose(metric("factor_error", record), abs(slopes - factor), rtol=1e-9)
    expected = (np.sign(slopes) == np.sign(factor)).astype(float)
    np.testing.assert_array_equal(metric("factor_sign_agrees", record), expected)
    assert 0 < expected.sum() < R


def test_factor_of_an_exactly_linear_network_predicts_its_slope() -> None:
    """One weight value everywhere: dL/dz_l = n w phi' dL/dz_{l+1} in the mean square where units do not correlate."""
    units, std, slope = 16, 0.5, 0.8
    factor = np.sqrt(units) * std * slope
    profile = np.tile(factor ** np.arange(5.0, -1, -1), (R, 1))
    record = make(
        6,
        units,
        weight_rms=np.full((R, 6), std),
        derivative_rms=np.full((R, 6), slope),
        gradient_rms=profile,
    )
    np.testing.assert_allclose(metric("factor_error", record), 0, atol=1e-13)
    np.testing.assert_array_equal(metric("factor_sign_agrees", record), 1)


def test_bias_gradient_ratio_is_last_over_first() -> None:
    norms = np.array([[2.0, 5.0, 8.0], [1.0, 1.0, 1.0], [10.0, 7.0, 0.1]])
    record = make(3, bias_grad_norm=norms)
    np.testing.assert_allclose(metric("bias_gradient_ratio", record), [4, 1, 0.01])
    np.testing.assert_allclose(metric("log10_bias_gradient_ratio", record), [np.log10(4), 0, -2], atol=1e-15)


def test_saturated_fraction_is_the_mean_over_layers() -> None:
    shares = np.array([[0.0, 0.5], [1.0, 1.0], [0.2, 0.4]])
    np.testing.assert_allclose(metric("saturated_fraction", make(2, saturated_fraction=shares)), [0.25, 1, 0.3])


def test_moments_of_the_activations_are_taken_from_rms_and_mean() -> None:
    means = np.array([[5.0, 0.1, -0.3], [0.0, 0.0, 0.0], [9.0, 0.2, 0.1]])
    variances = np.array([[1.0, 1.2, 0.9], [7.0, 1.0, 1.0], [1.0, 0.4, 1.1]])
    record = make(3, signal_mean=means, signal_rms=np.sqrt(variances + means**2))
    np.testing.assert_allclose(metric("largest_abs_mean", record), [5, 0, 9])
    np.testing.assert_allclose(metric("largest_abs_mean", record, from_layer=2), [0.3, 0, 0.2])
    np.testing.assert_allclose(metric("largest_variance_error", record), [0.2, 6, 0.6])
    np.testing.assert_allclose(metric("largest_variance_error", record, from_layer=2), [0.2, 0, 0.6], atol=1e-13)
    np.testing.assert_allclose(metric("largest_variance_error", record, from_layer=3), [0.1, 0, 0.1], atol=1e-13)
    expected = [max(0.3 / 0.2, 0.2 / 0.5), 0, max(0.2 / 0.2, 0.6 / 0.5)]
    np.testing.assert_allclose(metric("self_normalising_excess", record, from_layer=2), expected, atol=1e-13)
    offsets = abs(means) / np.sqrt(variances)
    np.testing.assert_allclose(metric("offset", record), offsets.mean(axis=1))
    np.testing.assert_allclose(metric("smallest_offset", record), offsets.min(axis=1))


@pytest.mark.parametrize(("mean", "variance"), [(0.19, 1.0), (-0.19, 0.51), (0.0, 1.49)])
def test_inside_klambauers_band_the_excess_is_below_one(mean: float, variance: float) -> None:
    inside = make(2, signal_mean=np.full((R, 2), mean), signal_rms=np.full((R, 2), np.sqrt(variance + mean**2)))
    assert (metric("self_normalising_excess", inside) < 1).all()


@pytest.mark.parametrize(("mean", "variance"), [(0.21, 1.0), (-0.21, 1.0), (0.0, 0.49), (0.0, 1.51)])
def test_outside_klambauers_band_the_excess_is_above_one(mean: float, variance: float) -> None:
    outside = make(2, signal_mean=np.full((R, 2), mean), signal_rms=np.full((R, 2), np.sqrt(variance + mean**2)))
    assert (metric("self_normalising_excess", outside) > 1).all()


def test_update_ratio_spread_is_largest_over_smallest() -> None:
    ratios = np.array([[1e-3, 5e-3, 2e-3], [1.0, 1.0, 1.0], [1e-6, 1.0, 10.0]])
    np.testing.assert_allclose(metric("update_ratio_spread", make(3, update_ratio=ratios)), [5, 1, 1e7])


def test_diverged_run_has_the_accuracy_of_chance_and_infinite_loss() -> None:
    losses = np.tile(np.arange(20.0), (R, 1))
    losses[1, 7:] = np.nan
    record = make(test_accuracy=[0.9, 0.0, 0.2], diverged_at=[-1, 7, -1], train_loss=losses)
    assert metric("test_accuracy", record).tolist() == [0.9, 0.1, 0.2]
    assert metric("final_loss", record).tolist() == [18.5, np.inf, 18.5]


def test_run_that_diverges_at_once_has_diverged() -> None:
    record = make(diverged_at=[0, -1, -1], train_loss=np.full((R, 3), 2.0))
    assert metric("test_accuracy", record)[0] == 0.1
    assert metric("final_loss", record).tolist() == [np.inf, 2, 2]


@pytest.mark.parametrize(("steps", "counted"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (500, 50)])
def test_final_loss_is_the_mean_of_the_last_tenth(steps: int, counted: int) -> None:
    losses = np.tile(np.arange(steps, dtype=np.float32), (R, 1))
    expected = np.arange(steps)[steps - counted :].mean()
    np.testing.assert_allclose(metric("final_loss", make(train_loss=losses)), expected)


SLOPE_METRICS = [
    *("gradient_slope", "abs_gradient_slope", "gradient_fit_r2", "signal_slope", "abs_signal_slope"),
    *("larger_abs_slope", "factor_error", "factor_sign_agrees"),
]


PROBED = {
    "gradient_slope": "gradient_rms",
    "abs_gradient_slope": "gradient_rms",
    "gradient_fit_r2": "gradient_rms",
    "signal_slope": "signal_rms",
    "abs_signal_slope": "signal_rms",
    "larger_abs_slope": "gradient_rms",
    "factor_error": "derivative_rms",
    "factor_sign_agrees": "gradient_rms",
    "bias_gradient_ratio": "bias_grad_norm",
    "log10_bias_gradient_ratio": "bias_grad_norm",
    "saturated_fraction": "saturated_fraction",
    "largest_abs_mean": "signal_mean",
    "largest_variance_error": "signal_rms",
    "self_normalising_excess": "signal_mean",
    "update_ratio_spread": "update_ratio",
    "smallest_offset": "signal_mean",
    "offset": "signal_rms",
}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", PROBED)
def test_number_that_is_none_is_not_finite_and_stays_in_its_replica(name: str, bad: float) -> None:
    series = np.random.default_rng(3).uniform(0.5, 2, (R, 6))
    others = {other: np.random.default_rng(4).uniform(0.5, 2, (R, 6)) for other in set(PROBED.values())}
    whole = metric(name, make(**(others | {PROBED[name]: series})))
    series = series.copy()
    series[1, [0, 3, 5]] = bad
    broken = metric(name, make(**(others | {PROBED[name]: series})))
    assert not np.isfinite(broken[1])
    np.testing.assert_array_equal(broken[[0, 2]], whole[[0, 2]])


@pytest.mark.parametrize("name", [*SLOPE_METRICS])
def test_vanished_to_zero_has_no_slope(name: str) -> None:
    profile = np.full((R, 6), 0.5)
    profile[0, 1:4] = 0.0
    values = metric(name, make(gradient_rms=profile, signal_rms=profile))
    assert np.isnan(values[0])


def test_ratios_of_zeros_are_never_numbers() -> None:
    norms = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    record = make(3, bias_grad_norm=norms, update_ratio=norms)
    assert metric("bias_gradient_ratio", record)[0] == np.inf
    assert np.isnan(metric("bias_gradient_ratio", record)[1])
    assert not np.isfinite(metric("log10_bias_gradient_ratio", record)).any()
    assert not np.isfinite(metric("update_ratio_spread", record)).any()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_shallow_network_has_no_slope_and_breaks_nothing(name: str, depth: int) -> None:
    values = metric(name, make(depth))
    assert values.shape == (R,)
    if name in SLOPE_METRICS:
        assert np.isnan(values).all()


@pytest.mark.parametrize("name", ["largest_abs_mean", "largest_variance_error", "self_normalising_excess"])
def test_layer_beyond_the_last_gives_nan(name: str) -> None:
    assert np.isfinite(metric(name, make(4), from_layer=4)).all()
    assert np.isnan(metric(name, make(4), from_layer=5)).all()
