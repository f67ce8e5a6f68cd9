"""Each metric against a closed form on a record made by hand, and what it does with numbers that are none."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vgtemplate.config.errors import UserError
from vgtemplate.metrics import FUNCTIONS, fit_line, named
from vgtemplate.records import Record

Array = npt.NDArray[np.float64]
R = 3
SLOPES = np.array([-0.5, 0.0, 0.25])


def make(depth: int = 6, width: int | list[int] = 10, seeds: int = R, **series: Any) -> Record:
    """A record whose probed series are 1 everywhere but for those given as (R, L) arrays, their only probe."""
    probed = {
        name: np.ones((seeds, depth))
        for name in (
            *("gradient_rms", "signal_rms", "derivative_rms", "weight_rms", "bias_grad_norm", "update_ratio"),
            *("saturated_fraction", "signal_mean", "travel", "dead_fraction", "input_shift", "gradient_change"),
        )
    }
    flat = {
        "test_accuracy": np.full(seeds, 0.9),
        "final_train_accuracy": np.full(seeds, 1.0),
        "test_psnr": np.full(seeds, 20.0),
        "test_score": np.full(seeds, 0.7),
        "validation_loss": np.ones((seeds, 2)),
        "diverged_at": np.full(seeds, -1),
        "train_loss": np.ones((seeds, 20)),
    }
    for name, array in series.items():
        (flat if name in flat else probed)[name] = np.asarray(array)
    return Record(
        key="k",
        name="a",
        configuration={
            "model": {"depth": depth, "width": width, "activation": "tanh"},
            "training": {"stop_loss": 1.0},
        },
        seeds=tuple(range(seeds)),
        dataset={},
        environment={},
        wall_seconds=0.0,
        series={name: array[:, None, :] for name, array in probed.items()} | flat,
    )


def metric(name: str, record: Record, **options: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what cannot be computed is NaN, silently
        return FUNCTIONS[name](record, **options)


def gradient(slopes: Array, depth: int = 6) -> Array:
    """An exactly exponential profile: 10^(slope * distance from the output), times a constant per replica."""
    distance = np.arange(depth)[::-1]
    return np.array([[3.0], [1e-5], [7.0]]) * 10.0 ** (slopes[:, None] * distance)


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


def over_time(name: str, *probes: Array) -> Record:
    """A record with one series probed several times, each probe (R, L)."""
    record = make(probes[0].shape[1])
    series = dict(record.series) | {name: np.stack(probes, axis=1)}
    return Record("k", "a", record.configuration, record.seeds, {}, {}, 0.0, series)


def test_travel_is_that_of_the_last_probe() -> None:
    first, last = np.ones((R, 3)), np.array([[0.1, 5, 1], [0.01, 5, 10], [2, 5, 0.02]])
    record = over_time("travel", first, last)
    np.testing.assert_allclose(metric("first_layer_travel", record), [0.1, 0.01, 2])
    np.testing.assert_allclose(metric("log10_travel_ratio", record), [1, 3, -2])


def test_layers_that_never_moved_have_no_travel_ratio() -> None:
    assert np.isnan(metric("log10_travel_ratio", over_time("travel", np.zeros((R, 3))))).all()


def test_dead_fraction_is_the_mean_over_the_layers_at_the_end() -> None:
    record = over_time("dead_fraction", np.ones((R, 2)), np.array([[0.5, 0.1], [0, 0], [np.nan, 0]]))
    np.testing.assert_allclose(metric("dead_fraction", record), [0.3, 0, np.nan])


@pytest.mark.parametrize("name", ["input_shift", "gradient_change"])
def test_shift_and_change_leave_the_first_layer_out_and_average_over_the_probes(name: str) -> None:
    record = over_time(name, np.array([[9.0, 1, 2]] * R), np.array([[9.0, 3, 6]] * R))
    np.testing.assert_allclose(metric(name, record), 3)
    assert np.isnan(metric(name, over_time(name, np.ones((R, 1))))).all()


def test_drift_of_the_median_layer_is_that_of_the_layers_above_the_first() -> None:
    shift = np.tile([1e9, 1.0, 100.0, 2.0], (R, 1))
    np.testing.assert_allclose(metric("median_input_shift", make(4, input_shift=shift)), 2.0)


def test_shift_depth_correlation_is_spearmans_of_the_mean_over_the_steps() -> None:
    drift = np.random.default_rng(0).exponential(size=(R, 5, 8))
    drift[1, :, 3] = drift[1, :, 5]  # a tie
    record = make(8)
    record = replace(record, series={**record.series, "input_shift": drift})
    expected = [stats.spearmanr(row.mean(axis=0)[1:], range(7)).statistic for row in drift]
    np.testing.assert_allclose(metric("shift_depth_correlation", record), expected, rtol=1e-12)


def test_shift_depth_correlation_has_no_value_without_order() -> None:
    rising = np.tile(np.arange(5.0), (R, 1))
    rising[1, 2] = np.nan
    rising[2] = 1.0
    found = metric("shift_depth_correlation", make(5, input_shift=rising))
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan])
    assert np.isnan(metric("shift_depth_correlation", make(2, input_shift=rising[:, :2]))).all()


def test_largest_fall_is_by_the_layer_that_is_missed_most() -> None:
    without = np.array([[np.nan, 0.85, 0.3], [np.nan, 0.95, 0.92], [np.nan, 0.1, 0.1]])
    record = make(3, diverged_at=[-1, -1, 4])
    record = replace(record, series={**record.series, "accuracy_without_layer": without})
    np.testing.assert_allclose(metric("largest_fall", record), [0.6, -0.02, 0.0])


def test_norms_are_the_last_and_the_largest_and_infinite_where_it_diverged() -> None:
    norms = np.array([[1.0, 5.0, 2.0], [3.0, 1.0, 1.5], [1.0, np.nan, np.nan]])
    record = make(3, diverged_at=[-1, -1, 1])
    record = replace(record, series={**record.series, "weight_norm": norms, "gradient_norm": norms})
    np.testing.assert_array_equal(metric("final_weight_norm", record), [2.0, 1.5, np.inf])
    np.testing.assert_array_equal(metric("largest_gradient_norm", record), [5.0, 3.0, np.inf])


def test_zero_gradient_share_is_the_largest_of_both_looks_and_of_the_layers_above_the_first() -> None:
    shares = np.zeros((R, 2, 4))
    shares[:, :, 0] = np.nan
    shares[1, 0, 2], shares[1, 1, 3], shares[2, 1, 1:] = 0.2, 0.3, np.nan
    record = make(4)
    record = replace(record, series={**record.series, "zero_gradient_fraction": shares})
    np.testing.assert_array_equal(metric("zero_gradient_share", record), [0.0, 0.3, np.nan])


def test_steps_to_loss_counts_until_the_mean_of_twenty_steps_is_there() -> None:
    falling = np.r_[np.full(30, 2.0), np.full(30, 0.5)]
    losses = np.stack([falling, np.full(60, 1.0), np.full(60, 1.1)])
    # 2.0 (20 - n)/20 + 0.5 n/20 <= 1 from n = 14 of the low steps on.
    np.testing.assert_array_equal(metric("steps_to_loss", make(train_loss=losses)), [44, 20, np.inf])
    assert np.isinf(metric("steps_to_loss", make(train_loss=np.zeros((R, 19))))).all()
    losses[0, 10] = np.nan
    assert metric("steps_to_loss", make(train_loss=losses))[0] == 44


def test_steps_to_a_loss_that_no_arm_names_are_no_number() -> None:
    record = make(train_loss=np.ones((R, 60)))
    training = {**record.configuration["training"], "stop_loss": None}
    untold = replace(record, configuration={**record.configuration, "training": training})
    assert np.isnan(metric("steps_to_loss", untold)).all()


def test_a_metric_of_ones_own_is_a_function_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = """
def gap(record):
    return 1 - record.series["test_accuracy"]

def one(record):
    return 3.0

def broken(record):
    return record.series["test_acuracy"]
"""
    (tmp_path / "own_metrics_a.py").write_text(source)
    np.testing.assert_allclose(named("own_metrics_a:gap")(make()), [0.1] * R)
    assert named("test_error") is FUNCTIONS["test_error"]
    with pytest.raises(
        UserError, match=r"^metric own_metrics_a:one: gives \(\); it must give one number per seed, \(3,\)$"
    ):
        named("own_metrics_a:one")(make())
    with pytest.raises(
        UserError, match=r"^metric own_metrics_a:broken: KeyError: 'test_acuracy' \(own_metrics_a.py:9\)$"
    ):
        named("own_metrics_a:broken")(make())


def test_the_factor_of_a_network_of_ones_own_is_not_known() -> None:
    record = make()
    for configuration in ({"model": {"factory": "a:b"}}, {}):
        own = replace(record, configuration=configuration)
        assert np.isnan(metric("factor_error", own)).all()


def test_what_diverged_counts_as_chance_infinite_or_nothing() -> None:
    record = make(diverged_at=[3, -1, -1], validation_loss=[[1.0, 0.5]] * R)
    np.testing.assert_array_equal(metric("validation_loss", record), [np.inf, 0.5, 0.5])
    np.testing.assert_array_equal(metric("psnr", record), [0, 20, 20])
    np.testing.assert_array_equal(metric("diverged", record), [1, 0, 0])
    np.testing.assert_allclose(metric("generalisation_gap", record), [0, 0.1, 0.1])


def own(names: str, mixing: str, **series: Any) -> Record:
    """A record of a network of one's own, its layers in the order of their first call."""
    record = make(len(names.split()), **series)
    labels = {"layer": names.split(), "mixing": mixing.split()}
    return replace(record, configuration={"model": {"factory": "nets:make"}}, labels=labels)


def test_layers_of_a_network_of_ones_own_are_those_that_mix_units_and_have_a_value_but_the_output() -> None:
    clean = gradient(SLOPES, depth=4)
    names = ["first", "norm", "projection", "second", "third", "fourth", "head", "never_called"]
    columns = {name: np.full(R, np.nan) for name in names}
    columns |= dict(zip(("first", "second", "third", "fourth"), clean.T, strict=True))
    columns |= {"norm": np.full(R, 1e3), "head": np.full(R, 1e9)}
    mixing = " ".join(name for name in names if name != "norm")
    values = np.stack([columns[name] for name in names], axis=1)
    record = own(" ".join(names), mixing, gradient_rms=values, signal_rms=values, update_ratio=values)
    plain = make(4, gradient_rms=clean, signal_rms=clean, update_ratio=clean)
    for name in ("gradient_slope", "gradient_fit_r2", "signal_slope", "update_ratio_spread"):
        np.testing.assert_array_equal(metric(name, record), metric(name, plain), err_msg=name)
    module = replace(record, configuration={"module": {"factory": "nets:Lit"}})
    np.testing.assert_array_equal(metric("gradient_slope", module), metric("gradient_slope", plain))


def test_what_an_activation_does_is_told_of_the_layer_before_it_whatever_that_is() -> None:
    values = np.tile([np.nan, 0.2, 0.4, np.nan], (R, 1))
    record = own("first norm second head", "first second head", saturated_fraction=values, dead_fraction=values)
    np.testing.assert_allclose(metric("saturated_fraction", record), 0.3)
    np.testing.assert_allclose(metric("dead_fraction", record), 0.3)


def test_weights_through_which_nothing_was_seen_to_flow_count_where_they_have_a_value() -> None:
    flow = np.tile([np.nan, np.nan, 1.0, 1.0], (R, 1))
    record = own("hidden_1 hidden_2 last head", "hidden_1 hidden_2 last head", gradient_rms=flow)
    changed = {**record.series, "travel": np.tile([1.0, 2.0, 10.0, 1e9], (R, 1))[:, None, :]}
    np.testing.assert_allclose(metric("log10_travel_ratio", replace(record, series=changed)), 1.0)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"diverged", "steps_to_loss"}))
def test_what_a_record_does_not_have_is_no_number(name: str) -> None:
    series = {"diverged_at": np.full(R, -1)}
    for record in (own("a b", "a b"), make()):
        found = metric(name, replace(record, series=series))
        assert found.shape == (R,)
        assert np.isnan(found).all()
    holes = {each: np.full((R, 1, 2), np.nan) for each in ("gradient_rms", "signal_rms", "travel", "update_ratio")}
    assert np.isnan(metric(name, replace(own("a b", "a b"), series=series | holes))).all()
