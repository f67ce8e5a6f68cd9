from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from vgtemplate import metrics
from vgtemplate.config.catalogue import METRICS
from vgtemplate.lab.catalogue import CHECKS
from vgtemplate.lab.claim import PartConfig
from vgtemplate.lab.report.claim_figures import choose_panels, describe_marks, draw_claim
from vgtemplate.lab.report.metric_panels import BESIDE_BARS, INSTEAD_OF_BARS
from vgtemplate.lab.report.panels import smooth


def part(metric, *arms, threshold="> 0", **settings):
    return {"metric": metric, "arms": list(arms), "threshold": threshold} | settings


def titles(figure):
    return [text.get_text() for text in figure.texts]


def test_panels_are_of_metrics():
    assert {*INSTEAD_OF_BARS, *BESIDE_BARS} <= set(METRICS)


def test_a_metric_without_panels_is_shown_as_bars_where_it_can_be_computed(make_claim, make_record, monkeypatch):
    def brightness(record, from_layer=1):
        return record.series["signal_mean"][:, 0, from_layer - 1]

    monkeypatch.setitem(metrics.FUNCTIONS, "brightness", brightness)
    monkeypatch.setattr(METRICS, "_added", {"brightness": replace(METRICS["offset"], name="brightness", unit="lux")})
    means = np.arange(12.0).reshape(3, 1, 4)
    parts = [
        part("brightness", "a", threshold="> 2", options={"from_layer": 3}),
        part("brightness", "b", options={"from_layer": 3}),
    ]
    claim = make_claim(arms=("a", "b"), parts=[part("gradient_slope", "a"), part("gradient_slope", "b")])
    claim = claim.model_copy(update={"parts": [PartConfig.model_validate(each) for each in parts]})
    figure = draw_claim(claim, {"a": make_record("a", signal_mean=means), "b": make_record("b")})
    (bars,) = figure.axes
    assert "brightness, from layer 3 (lux)" in titles(figure)
    assert [label.get_text() for label in bars.get_yticklabels()] == ["a"]
    assert list(bars.lines[0].get_xdata()) == [2, 6, 10]
    assert list(bars.lines[1].get_xdata()) == [2, 2]


def test_a_profile_shows_every_seed_thin_and_the_median_thick(make_claim, make_record):
    record = make_record("sigmoid", seeds=5)
    (axes,) = draw_claim(make_claim(), {"sigmoid": record}).axes
    logs = np.log10(record.series["gradient_rms"][:, 0])
    np.testing.assert_allclose([line.get_ydata() for line in axes.lines[:5]], logs)
    np.testing.assert_allclose(axes.lines[5].get_ydata(), np.median(logs, axis=0))
    assert axes.lines[5].get_linewidth() > 2 * axes.lines[0].get_linewidth()
    assert list(axes.lines[5].get_xdata()) == [1, 2, 3, 4]


def test_of_many_seeds_some_are_drawn_and_the_range_of_all_is_shaded(make_claim, make_record):
    record = make_record("sigmoid", seeds=100)
    (axes,) = draw_claim(make_claim(), {"sigmoid": record}).axes
    drawn = [line for line in axes.lines if line.get_linewidth() < 1]
    assert 20 <= len(drawn) <= 30
    (band,) = axes.collections
    logs = np.log10(record.probe("gradient_rms"))
    edges = band.get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (pytest.approx(logs.min()), pytest.approx(logs.max()))


def test_a_single_seed_is_drawn_once(make_claim, make_record):
    (axes,) = draw_claim(make_claim(), {"sigmoid": make_record("sigmoid", seeds=1)}).axes
    assert len(axes.lines) == 1


def test_twelve_arms_are_told_apart(make_claim, make_record):
    arms = tuple(f"arm-{number}" for number in range(12))
    figure = draw_claim(make_claim(arms=arms), {arm: make_record(arm) for arm in arms})
    (legend,) = figure.legends
    looks = {(line.get_color(), str(line.get_linestyle())) for line in legend.get_lines()}
    assert len(looks) == 12
    assert [text.get_text() for text in legend.get_texts()] == list(arms)


def test_legend_and_panels_do_not_overlap(make_claim, make_record):
    arms = tuple(f"a-rather-long-name-{number}" for number in range(12))
    parts = [part("test_accuracy", arm) for arm in arms]
    figure = draw_claim(make_claim(arms=arms, kind="training", parts=parts), {arm: make_record(arm) for arm in arms})
    figure.draw_without_rendering()
    boxes = [figure.legends[0].get_window_extent(), *(axes.get_tightbbox() for axes in figure.axes)]
    assert all(not one.overlaps(other) for one, other in pairwise(boxes))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= figure.bbox.y0 for box in boxes)


def test_accuracy_is_shown_as_loss_curves_and_bars_with_the_threshold(make_claim, make_record):
    claim = make_claim(arms=("relu", "elu"), parts=[part("test_accuracy", "relu", threshold=">= 0.8"),
                                                    part("test_accuracy", "elu", threshold="<= 0.2")])  # fmt: skip
    figure = draw_claim(claim, {"relu": make_record("relu"), "elu": make_record("elu")})
    loss, bars = figure.axes
    assert titles(figure)[0] == "training loss"
    assert [patch.get_width() for patch in bars.patches] == pytest.approx([0.91, 0.91])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["relu", "elu"]
    dashed = [line.get_xdata()[0] for line in bars.lines if len(line.get_xdata()) == 2]
    assert dashed == [0.8, 0.2]
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [0.9, 0.91, 0.92])
    assert loss.get_xlabel() == "training step"


def test_a_diverged_replica_ends_in_a_cross_and_its_neighbours_go_on(make_claim, make_record):
    losses = np.ones((3, 50))
    losses[1, 20:] = np.nan
    record = make_record("relu", train_loss=losses, diverged_at=np.array([-1, 20, -1]))
    claim = make_claim(arms=("relu",), kind="training", parts=[part("diverged", "relu")])
    (axes,) = draw_claim(claim, {"relu": record}).axes
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [19]
    ended = [np.isfinite(line.get_ydata()).sum() for line in axes.lines[:4]]
    assert ended == [50, 50, 20, 50]
    assert "a seed that diverged" in describe_marks(choose_panels(claim, {"relu": record}))


def test_seeds_that_never_got_there_are_counted(make_claim, make_record):
    losses = np.full((3, 60), 2.0)
    losses[0] = 0.1
    record = make_record("relu", train_loss=losses)
    record.configuration["training"] = {"stop_loss": 1.0}
    claim = make_claim(arms=("relu",), kind="training", parts=[part("steps_to_loss", "relu")])
    _, bars = draw_claim(claim, {"relu": record}).axes
    assert [text.get_text() for text in bars.texts] == ["2 of 3 never"]
    assert list(bars.lines[0].get_xdata()) == [20]


def test_losses_far_apart_get_a_logarithmic_axis(make_claim, make_record):
    claim = make_claim(arms=("relu",), kind="training", parts=[part("final_loss", "relu")])
    far = make_record("relu", train_loss=np.geomspace(1e-3, 1e6, 60) * np.ones((3, 1)))
    assert draw_claim(claim, {"relu": far}).axes[0].get_yscale() == "log"
    assert draw_claim(claim, {"relu": make_record("relu")}).axes[0].get_yscale() == "linear"


def test_curves_are_means_over_the_last_steps():
    curve = np.random.default_rng(0).normal(size=(2, 1000))
    steps, means = smooth(curve)
    assert (len(steps), steps[-1]) == (100, 999)
    for column, step in enumerate(steps):
        np.testing.assert_allclose(means[:, column], curve[:, max(0, step - 19) : step + 1].mean(axis=1))


def test_an_arm_without_the_series_is_left_out(make_claim, make_record):
    claim = make_claim(arms=("denoise", "classify"), parts=[part("psnr", "denoise"), part("test_accuracy", "classify")])
    scores = {"train_psnr": np.full((3, 60), 20.0), "test_psnr": np.array([20.0, 21, 22])}
    records = {"denoise": make_record("denoise", **scores), "classify": make_record("classify")}
    del records["denoise"].series["test_accuracy"]
    shown = {panel.title: list(arms) for panel, arms in choose_panels(claim, records).items()}
    assert shown["PSNR (dB)"] == ["denoise"]
    assert [arms for title, arms in shown.items() if title.startswith("test accuracy")] == [["classify"]]


def test_without_records_or_seeds_there_is_no_figure(make_claim):
    assert draw_claim(make_claim(), {}) is None
    check = next(iter(CHECKS.values()))
    exact = make_claim(kind="exact", check=check.name, arms={}, parts=[part(check.quantities.split()[0])])
    assert draw_claim(exact, {}) is None


def test_zero_gradients_are_gaps(make_claim, make_record):
    record = make_record("sigmoid")
    record.series["gradient_rms"][:, :, 1] = 0
    (axes,) = draw_claim(make_claim(), {"sigmoid": record}).axes
    assert list(np.isnan(axes.lines[-1].get_ydata())) == [False, True, False, False]


def test_seeds_without_a_value_are_told_from_those_that_never_got_there(make_claim, make_record):
    fractions = np.array([[[0.5]], [[np.nan]], [[np.nan]]])
    record = make_record("relu", dead_fraction=fractions)
    claim = make_claim(arms=("relu",), kind="training", parts=[part("dead_fraction", "relu")])
    *_, bars = draw_claim(claim, {"relu": record}).axes
    assert [text.get_text() for text in bars.texts] == ["2 of 3 without a value"]


def predictable(record, **series):
    """The record of images of a known size, so that the theory has a word on it."""
    record.dataset["input_shape"] = [1, 8, 8]
    record.series.update(series)
    return record


def test_theory_is_dotted_beside_what_was_measured_at_the_start(make_claim, make_record):
    record = predictable(make_record("relu", seeds=1))
    claim = make_claim(arms=("relu",), parts=[part("gradient_slope", "relu"), part("signal_slope", "relu")])
    gradient, signal = draw_claim(claim, {"relu": record}).axes
    measured, expected = gradient.lines
    # He's weights keep ReLU's gradient; the line starts from what was measured at the last layer.
    np.testing.assert_allclose(expected.get_ydata(), [measured.get_ydata()[-1]] * 4, atol=1e-9)
    np.testing.assert_allclose(signal.lines[1].get_ydata(), 0, atol=1e-9)
    assert expected.get_linestyle() != measured.get_linestyle()
    assert "dotted: the theory of wide networks" in describe_marks(choose_panels(claim, {"relu": record}))


def test_a_record_without_a_prediction_has_no_line_of_theory(make_claim, make_record):
    unknown = make_record("relu", seeds=1)
    deep = predictable(make_record("relu", seeds=1))
    deep.configuration["pretraining"] = {"kind": "rbm"}
    for record in (unknown, deep):
        (axes,) = draw_claim(make_claim(arms=("relu",)), {"relu": record}).axes
        assert len(axes.lines) == 1


def test_an_arm_that_explodes_leaves_the_others_visible(make_claim, make_record):
    small, large = (make_record(name, signal_mean=np.full((3, 1, 4), mean)) for name, mean in (("a", 0.1), ("b", 1e8)))
    claim = make_claim(arms=("a", "b"), parts=[part("largest_abs_mean", arm) for arm in ("a", "b")])
    (axes,) = draw_claim(claim, {"a": small, "b": large}).axes
    assert axes.get_yscale() == "symlog"
    (axes,) = draw_claim(claim, {"a": small, "b": small}).axes
    assert axes.get_yscale() == "linear"


def test_each_layers_own_fall_stands_beside_the_largest(make_claim, make_record):
    without = np.array([[np.nan, 0.85, 0.3, 0.9], [np.nan, 0.7, 0.91, 0.4], [np.nan, 0.9, 0.9, 0.62]])
    claim = make_claim()
    parts = [PartConfig.model_validate(part("largest_fall", "sigmoid", threshold="< 0.5"))]
    record = make_record("sigmoid", accuracy_without_layer=without)
    figure = draw_claim(claim.model_copy(update={"parts": parts}), {"sigmoid": record})
    profile, bars = figure.axes
    falls = record.series["test_accuracy"][:, None] - without
    np.testing.assert_allclose([line.get_ydata() for line in profile.lines[:3]], falls)
    np.testing.assert_allclose(profile.lines[3].get_ydata()[1:], np.median(falls, axis=0)[1:])
    np.testing.assert_allclose(bars.lines[0].get_xdata(), np.nanmax(falls, axis=1))


@pytest.mark.parametrize(
    ("metric", "series"), [("final_weight_norm", "weight_norm"), ("largest_gradient_norm", "gradient_norm")]
)
def test_norms_are_drawn_over_the_steps_beside_their_bars(metric, series, make_claim, make_record):
    norms = np.linspace(1, 2, 60) + np.arange(3.0)[:, None]
    record = make_record("sigmoid", **{series: norms})
    parts = [PartConfig.model_validate(part(metric, "sigmoid", threshold="> 1"))]
    figure = draw_claim(make_claim().model_copy(update={"parts": parts}), {"sigmoid": record})
    curves, bars = figure.axes
    np.testing.assert_allclose(curves.lines[-1].get_ydata(), np.median(smooth(norms)[1], axis=0))
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [2, 3, 4])


def test_drifts_of_many_sizes_are_logarithmic_and_the_first_layers_is_left_out(make_claim, make_record):
    drift = np.tile([0.0, 1e-6, 1e-2, 1e2], (3, 2, 1))
    record = make_record("sigmoid", input_shift=drift)
    parts = [PartConfig.model_validate(part("median_input_shift", "sigmoid", threshold="> 0.001"))]
    (axes,) = draw_claim(make_claim().model_copy(update={"parts": parts}), {"sigmoid": record}).axes
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), [np.nan, -6, -2, 2])
