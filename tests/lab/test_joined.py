"""Ten seeds and then twenty more are thirty: joined records against records of all seeds at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Keys
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.joined import join_records, read_joined
from vgtemplate.records import SERIES, Record

ARM: dict[str, Any] = {
    "model": {"depth": 3, "width": 8, "norm": "batch", "dropout": 0.2},
    "data": {"dataset": "digits", "num_train": 200, "num_validation": 50, "batch_size": 50},
    "training": {"steps": 12, "precision": "64-true"},
    "probes": {"every": 4, "num_images": 50},
}


def trained(results: Path, seeds: Sequence[int], **training: Any) -> Record:
    config = ArmConfig.model_validate(ARM | {"training": ARM["training"] | training})
    return run_job(Keys(results).job("it", "arm", config, seeds), results, results)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def test_joined_record_is_that_of_all_seeds_but_for_rounding(results: Path) -> None:
    parts = [trained(results, seeds) for seeds in (range(3), range(3, 5), range(5, 6))]
    whole, joined = trained(results, range(6)), join_records(parts)
    assert (joined.seeds, joined.configuration) == (whole.seeds, whole.configuration)
    assert joined.series.keys() == whole.series.keys()
    for name in whole.series:
        np.testing.assert_allclose(joined.series[name], whole.series[name], rtol=1e-9, atol=1e-12, err_msg=name)
    read = read_joined(results, [part.key for part in parts])
    assert read is not None
    assert read.seeds == tuple(range(6))
    assert read_joined(results, [parts[0].key, "missing"]) is None


def test_first_seeds_of_a_joined_record_are_the_first_record(results: Path) -> None:
    parts = [trained(results, seeds) for seeds in (range(3), range(3, 5))]
    cut = join_records(parts).of_seeds(range(3))
    assert cut.seeds == (0, 1, 2)
    for name, array in parts[0].series.items():
        np.testing.assert_array_equal(cut.series[name], array)


def test_sets_of_seeds_that_stopped_at_different_steps_have_nan_where_nothing_was_reached(results: Path) -> None:
    short, long = trained(results, range(2), steps=8), trained(results, range(2, 4))
    same = Record(**{**vars(short), "configuration": long.configuration})
    joined = join_records([same, long])
    losses = joined.series["train_loss"]
    assert losses.shape == (4, 12)
    assert np.isnan(losses[:2, 8:]).all()
    assert not np.isnan(losses[:2, :8]).any()
    assert not np.isnan(losses[2:]).any()
    np.testing.assert_array_equal(joined.series["probe_steps"], long.series["probe_steps"])
    assert all(len(array) == 4 for name, array in joined.series.items() if SERIES[name].axes[0] == "replica")


def test_only_records_that_belong_together_are_joined(results: Path) -> None:
    first, second = trained(results, range(3)), trained(results, range(3, 5))
    other = Record(**{**vars(second), "configuration": {}})
    for records in ([first, first], [first, other]):
        with pytest.raises(ValueError, match="only records of the same settings and of different seeds can be joined"):
            join_records(records)
    assert join_records([first]) is first
