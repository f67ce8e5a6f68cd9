"""The tables of the terminal: theory stands beside what was measured, in training and in judging."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from vgtemplate.lab.judge import judge_records
from vgtemplate.prediction import compare_slopes
from vgtemplate.cli.tables import arm_table, verdict_table
from vgtemplate.config.experiment import ClaimConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record
from vgtemplate.lab.result import Result


def shown(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
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


def claim(kind: str) -> ClaimConfig:
    parts = [{"metric": "gradient_slope", "arms": ["half"], "label": "slope", "threshold": "< -0.1"}]
    return ClaimConfig.model_validate(
        {
            "id": "half-vanishes",
            "articles": ["bn-relu"],
            "statement": "It vanishes.",
            "kind": kind,
            "arms": {"half": {}},
            "parts": parts,
            "literature": "True.",
        }
    )


def result(kind: str) -> Result:
    found = record("half", slope=-0.29)
    compared = compare_slopes(found)
    assert compared is not None
    judged = judge_records(claim(kind), {"half": found})
    return Result(claim(kind), judged, {"half": "k"}, "digits", (0,), "quick", 1.0, {"half": compared})


def test_training_sets_the_slope_beside_theory() -> None:
    text = shown(arm_table([record("half", slope=-0.29), record("unknown", slope=-0.1)], "arms"))
    assert "gradient slope in theory diverged" in text
    assert f"half 2 - -0.29 {-math.log10(2):.3g} 0 of 1" in text


def test_arm_that_theory_does_not_cover_has_a_dash() -> None:
    probed = record("odd", slope=-0.1)
    series = {name: array for name, array in probed.series.items() if name != "gradient_rms"}
    assert "odd 2 - - - 0 of 1" in shown(arm_table([replace(probed, series=series)], "arms"))


def test_claim_at_initialisation_prints_theory_beside_measurement() -> None:
    words = "gradient slope in theory / measured: half -0.301 / -0.290"
    assert words in shown(verdict_table([result("initial")], "claims"))
    assert "in theory" not in shown(verdict_table([result("training")], "claims"))
    slopes = result("initial").to_json()["gradient_slopes"]["half"]
    assert (slopes["predicted"], slopes["median"]) == pytest.approx((-math.log10(2), -0.29))
