import math
from dataclasses import replace

import numpy as np
import pytest

from vgtemplate.records import Record
from vgtemplate.tracking.points import MAX_LAYERS, MAX_STEPS, record_points, spread_evenly


def curve(record: Record, name: str) -> dict[int, float]:
    return {point.step: point.value for point in record_points(record)[0] if point.name == name}


def test_profile_has_the_layer_as_its_step_and_the_median_over_seeds_as_its_value(make_record):
    # Seeds 0, 1, 2 have 10**-(distance + seed): the median is seed 1's.
    assert curve(make_record(depth=4), "layer_as_step/gradient_log10_at_start") == pytest.approx(
        {1: -4, 2: -3, 3: -2, 4: -1}
    )


def test_profile_at_the_end_exists_only_after_training(make_record):
    gradient = make_record(probes=3).series["gradient_rms"].copy()
    gradient[:, -1, :] = 1e-7
    assert set(curve(make_record(probes=3, gradient_rms=gradient), "layer_as_step/gradient_log10_at_end").values()) == {
        -7.0
    }
    assert curve(make_record(probes=1), "layer_as_step/gradient_log10_at_end") == {}


def test_loss_is_the_first_section_and_the_gradient_the_first_chart_by_layer(make_record):
    every_series = {
        name: make_record(probes=5).series["gradient_rms"]
        for name in ("bias_grad_norm", "weight_grad_norm_before_clip", "travel", "dead_fraction", "update_ratio")
    }
    names = {point.name for point in record_points(make_record(probes=5, **every_series))[0] if "/" in point.name}
    assert min(names) == "curves/train_loss"
    assert min(name for name in names if name.startswith("layer_as_step/g")) == "layer_as_step/gradient_log10_at_end"


def test_layer_has_its_own_curve_over_the_steps(make_record):
    assert curve(make_record(depth=4, probes=3), "gradient_log10/layer_003") == pytest.approx({0: -2, 10: -2, 20: -2})


def test_single_probe_makes_no_curves_over_the_steps(make_record):
    names = {point.name for point in record_points(make_record(depth=4, probes=1))[0]}
    assert not {name for name in names if "layer_0" in name}


def test_no_curve_over_the_steps_has_more_than_fifty_points(make_record):
    points, _ = record_points(make_record(depth=4, probes=173))
    over_steps = [point.name for point in points if not point.name.startswith("layer_as_step/")]
    assert max(over_steps.count(name) for name in set(over_steps)) == MAX_STEPS


def test_deep_network_shows_evenly_spread_layers_with_both_ends(make_record):
    names = {point.name for point in record_points(make_record(depth=100, probes=2))[0]}
    layers = sorted(int(name[-3:]) for name in names if name.startswith("gradient_log10/"))
    assert (len(layers), layers[0], layers[-1]) == (MAX_LAYERS, 1, 100)
    assert set(np.diff(layers)) <= {5, 6}
    assert len(curve(make_record(depth=100), "layer_as_step/gradient_log10_at_start")) == 100


def test_curves_carry_median_smallest_and_largest_seed(make_record):
    record = make_record(probes=1)
    assert curve(record, "curves/train_loss")[0] == 3.0
    assert curve(record, "curves/train_loss_min")[0] == 2.0
    assert curve(record, "curves/train_loss_max")[0] == 4.0
    assert curve(record, "test_accuracy") == pytest.approx({0: 0.6})
    assert curve(record, "test_accuracy_min") == pytest.approx({0: 0.5})


def test_validation_is_drawn_at_the_steps_where_it_was_measured(make_record):
    series = {"validation_steps": np.array([7, 14]), "validation_loss": np.array([[3.0, 2.0]] * 3)}
    assert curve(make_record(**series), "curves/validation_loss") == {7: 3.0, 14: 2.0}


def test_what_a_module_of_ones_own_logs_keeps_its_name(make_record):
    record = replace(
        make_record(logged=np.array([[1.0, 5], [2, 6], [4, 7]])), labels={"logged": ["fid", "test loss: d(x)"]}
    )
    assert [curve(record, name) for name in ("fid", "fid_min", "fid_max")] == [{0: 2.0}, {0: 1.0}, {0: 4.0}]
    assert curve(record, "test loss: d_x_") == {0: 6.0}


def test_single_seed_has_no_spread(make_record):
    names = {point.name for point in record_points(make_record(seeds=1))[0]}
    assert not {name for name in names if name.endswith(("_min", "_max"))}


def test_values_without_a_finite_number_are_left_out_and_counted(make_record):
    gradient = make_record(depth=4).series["gradient_rms"].copy()
    gradient[:, 0, 0], gradient[:, 0, 1], gradient[:, 0, 2] = 0.0, np.nan, np.inf
    points, left_out = record_points(make_record(depth=4, gradient_rms=gradient))
    assert left_out == 3
    assert all(math.isfinite(point.value) for point in points if "/" in point.name)
    assert {point.step for point in points if point.name == "layer_as_step/gradient_log10_at_start"} == {4}


def test_diverged_seed_counts_as_the_worst_never_as_absent(make_record):
    record = make_record(
        seeds=3,
        test_accuracy=np.array([np.nan, 0.5, 0.9]),
        train_loss=np.array([[np.nan], [1.0], [2.0]]),
        diverged_at=np.array([4, -1, -1]),
    )
    assert curve(record, "test_accuracy") == {0: 0.5}
    assert curve(record, "test_accuracy_min") == pytest.approx({0: math.nan}, nan_ok=True)
    assert curve(record, "final_loss_max") == pytest.approx({0: math.nan}, nan_ok=True)
    assert curve(record, "final_loss") == {0: 2.0}
    assert curve(record, "curves/train_loss") == {0: 2.0}
    assert curve(record, "diverged_seeds") == {0: 1.0}


def test_slope_of_the_gradient_is_that_of_its_profile(make_record):
    record = make_record(depth=4)
    assert curve(record, "gradient_slope") == pytest.approx({0: -1.0})
    nothing = np.full_like(record.series["gradient_rms"], np.nan)
    assert curve(make_record(gradient_rms=nothing), "gradient_slope") == {}


def test_exact_check_shows_its_quantities():
    series = {"quantities": np.array([[0.25], [1e-12]])}
    record = Record("k", "check", {}, (), {}, {}, 0.1, series, {"quantity": ["max s'", "error"]})
    values = {point.name: point.value for point in record_points(record)[0]}
    assert values == {"wall_seconds": 0.1, "max s_": 0.25, "error": 1e-12}


@pytest.mark.parametrize("number", [0, 1, 2, 49, 50, 51, 500])
def test_spread_keeps_both_ends_and_never_exceeds_its_limit(number):
    chosen = spread_evenly(number, 50)
    assert len(chosen) == min(number, 50)
    assert chosen == sorted(set(chosen))
    assert number == 0 or (chosen[0], chosen[-1]) == (0, number - 1)
