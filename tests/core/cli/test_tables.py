"""The tables of the terminal: theory stands beside what was measured, in training."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
from rich.console import Console, Group

from vgtemplate.cli.tables import arm_table, logged, usage
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record


def shown(table: Group, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def record(name: str, slope: float, gain: float = 0.5) -> Record:
    config = ArmConfig.model_validate({"model": {"depth": 4, "initialiser": {"name": "he_normal", "gain": gain}}})
    series = {
        "gradient_rms": 10 ** (slope * np.array([[[3.0, 2.0, 1.0, 0.0]]])),
        "train_loss": np.full((1, 30), 2.0),
        "diverged_at": np.array([-1]),
        "diverged_layer": np.array([-1]),
    }
    plain = config.model_dump(mode="json")
    return Record("k", name, plain, (0,), {"name": "digits", "input_shape": [1, 8, 8]}, {}, 1.0, series, {"layer": []})


def test_training_sets_the_slope_beside_theory() -> None:
    text = shown(arm_table([record("half", slope=-0.29), record("unknown", slope=-0.1)], "arms", 200))
    assert "gradient slope in theory diverged" in text
    assert f"half 2 - -0.29 {-math.log10(2):.3g} 0 of 1" in text


def test_arm_that_theory_does_not_cover_has_a_dash() -> None:
    probed = record("odd", slope=-0.1)
    series = {name: array for name, array in probed.series.items() if name != "gradient_rms"}
    assert "odd 2 - - - 0 of 1" in shown(arm_table([replace(probed, series=series)], "arms", 200))


def test_narrow_table_keeps_the_arms() -> None:
    text = shown(arm_table([record("a-name-of-some-length", slope=-0.29)], "arms", 40), width=40)
    assert "a-name-of-some-length" in text
    assert "time" in text.partition("no room for:")[2]


def test_what_a_module_of_ones_own_logs_is_written_with_its_spread() -> None:
    series = {"logged": np.array([[1.0, np.nan], [2.0, 6.0], [4.0, 7.0]])}
    own = replace(record("gan", 0.0), seeds=(0, 1, 2), series=series, labels={"logged": ["fid", "bias"]})
    assert logged(own) == "fid 2 [1, 4], bias 6.5 [6, 7], 1 without a value"
    assert logged(record("built-in", 0.0)) == ""
    labels = {"logged": ["fid", "test_acc"]}
    shown_above = series | {"test_accuracy": series["logged"][:, 1]}
    assert logged(replace(own, series=shown_above, labels=labels)) == "fid 2 [1, 4]"


def test_speed_is_told_in_images_or_in_examples_of_ones_own() -> None:
    measured = replace(record("one", 0.0), environment={"images_per_second": 1234.5, "megabytes_a_replica": 2.0})
    assert usage(measured) == "1,234 images per second, 2 MB of memory per seed"
    configuration = measured.configuration | {"data": {"factory": "texts:load"}}
    assert usage(replace(measured, configuration=configuration)).startswith("1,234 examples per second")
