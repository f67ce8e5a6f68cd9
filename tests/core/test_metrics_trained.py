"""Metrics of what a training did: against a closed form on a record made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.core.measured import Array, R, make, metric
from vgtemplate.records import Record


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


def test_what_diverged_counts_as_chance_infinite_or_nothing() -> None:
    record = make(diverged_at=[3, -1, -1], validation_loss=[[1.0, 0.5]] * R)
    np.testing.assert_array_equal(metric("validation_loss", record), [np.inf, 0.5, 0.5])
    np.testing.assert_array_equal(metric("psnr", record), [0, 20, 20])
    np.testing.assert_array_equal(metric("diverged", record), [1, 0, 0])
    np.testing.assert_allclose(metric("generalisation_gap", record), [0, 0.1, 0.1])
