"""The report of all claims stays below 3 MB, so that a telephone opens it and a mail carries it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.gallery import GalleryConfig
from vgtemplate.lab.report.gallery import write_gallery
from vgtemplate.lab.report.page import write_report
from vgtemplate.lab.report.theory_page import write_theory
from vgtemplate.records import SERIES

LIMIT = 3_000_000
EVERY = 9
SIZES = {"replica": 10, "probe_step": 3, "layer": 20, "step": 500, "look": 3, "validation_step": 10, "block": 10}


@pytest.mark.slow
def test_the_report_of_all_claims_stays_below_three_megabytes(tmp_path, experiments, make_record, make_result, reader):
    """Every ninth claim that searches nothing, with ten seeds, stands for all; noise takes more room than curves do."""
    generator = np.random.default_rng(0)
    noise = {
        name: np.abs(generator.lognormal(size=[SIZES[axis] for axis in series.axes]))
        for name, series in SERIES.items()
        if set(series.axes) <= {*SIZES}
    }
    steps = {f"{name}_steps": 50 * np.arange(SIZES[f"{name}_step"]) for name in ("probe", "validation")}
    never = dict.fromkeys(("diverged_at", "finished_at", "diverged_layer"), np.full(10, -1))
    claims = {name: claim for name, claim in load_claims(experiments).items() if claim.search == [] and not claim.check}
    results, records = [], []
    for claim in list(claims.values())[::EVERY]:
        arms = {arm: make_record(f"{claim.id}-{arm}", 10, 20, 500, **noise | steps | never) for arm in claim.arms}
        results.append(make_result(claim, arms))
        records.extend(arms.values())
    index = write_report(tmp_path / "some", results, reader(records)).stat().st_size
    frame = write_report(tmp_path / "none", [], reader([])).stat().st_size
    whole = frame + (index - frame) / len(results) * len(load_claims(experiments))
    others = [write_gallery(tmp_path, GalleryConfig(), {}), write_theory(tmp_path, results, records)]
    assert len(results) >= 4
    assert whole + sum(path.stat().st_size for path in others) < LIMIT


def test_a_hundred_seeds_take_little_more_room_than_thirty(tmp_path, make_claim, make_record, make_result, reader):
    claim = make_claim(
        arms=("relu",), kind="training", parts=[{"metric": "diverged", "arms": ["relu"], "threshold": "<= 0"}]
    )
    sizes = {}
    for seeds in (30, 100):
        losses = np.random.default_rng(0).lognormal(size=(seeds, 500))
        records = {"relu": make_record("relu", seeds=seeds, train_loss=losses)}
        sizes[seeds] = write_report(Path(tmp_path, str(seeds)), [make_result(claim, records)], reader(records.values()))
    assert sizes[100].stat().st_size < sizes[30].stat().st_size + 15_000
