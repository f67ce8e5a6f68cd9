"""Metrics of one's own, and metrics of networks of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.measured import SLOPES, R, gradient, make, metric
from vgtemplate.config.errors import UserError
from vgtemplate.metrics import FUNCTIONS, named
from vgtemplate.records import Record


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
