"""Runs that are really killed, and taken up again, end bit for bit as one that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgtemplate.config.load import overlay
from vgtemplate.records import Record, read_record

SEEDS = [4, 11]
BASE: dict[str, Any] = {
    "data": {"dataset": "digits", "num_train": 100, "batch_size": 32},
    "model": {"depth": 3, "width": 8},
    "training": {"steps": 11},
    "probes": {"every": 2, "num_images": 50},
}
Kill = tuple[str, int, int]
"""Where, the how-manieth time, and by which signal."""

PIECES: dict[str, dict[str, Any]] = {
    "batch normalisation": {"model": {"norm": "batch"}},
    "dropout": {"model": {"dropout": 0.3}},
    "rrelu": {"model": {"activation": "rrelu"}},
    "adam": {"optimiser": {"name": "adam", "lr": 0.01}},
    "momentum": {"optimiser": {"momentum": 0.9, "lr": 0.1}},
}
FAMILIES: dict[str, dict[str, Any]] = {
    # What any one of these forgot would show in the weights or series of the whole.
    "dropout, adam, validation after every step": {
        "model": {"dropout": 0.3},
        "optimiser": {"name": "adam", "lr": 0.01},
        "data": {"num_validation": 40},
        "training": {"validate_every": 1},
    },
    "rrelu, momentum, double precision, validation in between": {
        "model": {"activation": "rrelu"},
        "optimiser": {"momentum": 0.9, "lr": 0.1},
        "data": {"num_validation": 40},
        "training": {"precision": "64-true", "validate_every": 3},
    },
    "cnn, batch normalisation": {"model": {"kind": "cnn", "width": 4, "norm": "batch"}},
    "rbm": {"model": {"activation": "sigmoid"}, "pretraining": {"kind": "rbm", "steps": 6}},
    "autoencoder": {"model": {"activation": "sigmoid"}, "pretraining": {"kind": "autoencoder", "steps": 6}},
    "epochs of one batch": {"data": {"batch_size": 100}, "training": {"epochs": 12}},
    "stop at an accuracy": {
        "training": {"epochs": 12, "stop_accuracy": 0.5},
        "optimiser": {"lr": 0.3},
        "model": {"width": 32},
    },
    "stop at a loss": {"training": {"steps": 300, "stop_loss": 1.0}, "optimiser": {"lr": 0.3}, "model": {"width": 32}},
    "denoising": {
        "model": {"kind": "cnn", "width": 4, "output": "image"},
        "data": {"scaling": "unit"},
        "training": {"noise": 0.1},
    },
    "schedule and augmentation": {
        "model": {"kind": "resnet", "depth": 8, "width": 2, "norm": "batch", "residual": True},
        "data": {"augment": "crop_flip"},
        "optimiser": {"momentum": 0.9, "schedule": "cosine", "warm_up": 3},
    },
    "every probe": {
        "probes": {
            **{"every": 1, "shift": True, "gradient_change": True},
            **{"growth": True, "removal": True, "zero_gradients": True},
        }
    },
    "noise after the norm": {"model": {"norm": "batch", "norm_noise": True, "norm_affine": False}},
    "divergence": {"optimiser": {"lr": 1e9}},
    "accumulated gradients": {"training": {"accumulate": 3, "validate_every": 2}, "data": {"num_validation": 40}},
    "own network in turn": {
        "model": {"factory": "tests.core.training.own_nets:Recurrent"},
        "optimiser": {"name": "adam", "lr": 0.01},
        "training": {"accumulate": 2},
    },
    "own network at once": {
        "model": {"factory": "tests.core.training.own_nets:Attention", "settings": {"width": 8}},
        "training": {"loss": "tests.core.training.own_nets:focal", "score": "accuracy"},
    },
}


class Laboratory:
    """Trains in processes of their own, and has them killed."""

    def __init__(self, root: Path) -> None:
        script = Path(__file__).with_name("killable.py")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._root = root
        self._count = 0
        self.num_kills = 0

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def train_once(
        self, folder: Path, configuration: dict[str, Any], kill: Kill | None, every_seconds: float
    ) -> dict[str, int]:
        job = {"configuration": configuration, "seeds": SEEDS, "folder": str(folder), "kill": kill}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job | {"every_seconds": every_seconds}) + "\n")
        self._process.stdin.flush()
        ended: dict[str, int] = json.loads(self._process.stdout.readline())
        return ended

    def train(
        self, configuration: dict[str, Any], kills: Sequence[Kill] = (), every_seconds: float = 0.0
    ) -> tuple[Record, bytes]:
        """Train an arm to its end through so many kills; return its record and the bytes of its series."""
        self._count += 1
        folder = self._root / str(self._count)
        folder.mkdir()
        for kill in kills:
            ended = self.train_once(folder, configuration, kill, every_seconds)
            if "code" in ended and ended["code"] == 0:  # the moment did not come any more
                break
            assert ended in ({"signal": kill[2]}, {"code": 128 + kill[2]})
            self.num_kills += 1
        else:
            assert self.train_once(folder, configuration, None, every_seconds) == {"code": 0}
        (place,) = (path for path in folder.iterdir() if (path / "record.json").exists())
        record = read_record(folder, place.name)
        assert record is not None
        return record, (place / "series.npz").read_bytes()


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path_factory.mktemp("killed"))
    yield laboratory
    laboratory.close()


def assert_same(one: tuple[Record, bytes], other: tuple[Record, bytes]) -> None:
    for name, array in one[0].series.items():
        np.testing.assert_array_equal(other[0].series[name], array, err_msg=name)
    assert other[0].weights_sha256 == one[0].weights_sha256
    assert other[1] == one[1]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_run_killed_thrice_ends_as_one_that_never_was(laboratory: Laboratory, family: str) -> None:
    """Each process is killed at another moment of the first steps that it does; all pairs of moments come to pass.

    The third is killed in the test pass: what had ended is read back with what its callbacks had seen, and no step is
    trained twice.
    """
    configuration = overlay(BASE, FAMILIES[family])
    draw = random.Random(family)
    pairs = list(combinations(["before a step", "inside a step", "after a step", "while writing a checkpoint"], 2))
    moments = list(pairs[list(FAMILIES).index(family) % len(pairs)])
    draw.shuffle(moments)
    kills = [(moment, draw.randint(2, 4), int(signal.SIGKILL)) for moment in moments]
    before = laboratory.num_kills
    killed = laboratory.train(configuration, [*kills, ("in the test pass", 1, int(signal.SIGKILL))])
    assert laboratory.num_kills - before == 3
    whole = laboratory.train(configuration, every_seconds=1e9)
    assert_same(whole, killed)
    # Of an arm that ends at the first loss that is no number, no step is left to count.
    assert killed[0].environment["parts"][-1]["from_step"] == whole[0].series["train_loss"].shape[1]


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(st.sampled_from(list(PIECES)), max_size=3),
    depth=st.integers(1, 4),
    residual=st.booleans(),
    clipping=st.sampled_from(["none", "norm", "value"]),
    validate_every=st.sampled_from([None, 1, 4]),
    probe_every=st.sampled_from([0, 1, 3]),
    batch_size=st.sampled_from([16, 32, 100]),
    kills=st.lists(
        st.tuples(
            st.sampled_from(["before a step", "inside a step", "after a step"]),
            st.integers(1, 11),
            st.sampled_from([int(signal.SIGKILL), int(signal.SIGTERM), int(signal.SIGINT)]),
        ),
        min_size=1,
        max_size=3,
    ),
    every_seconds=st.sampled_from([0.0, 0.03, 1e9]),
)
def test_any_run_stopped_anywhere_ends_as_one_that_never_was(
    laboratory: Laboratory,
    pieces: list[str],
    depth: int,
    residual: bool,
    clipping: str,
    validate_every: int | None,
    probe_every: int,
    batch_size: int,
    kills: list[Kill],
    every_seconds: float,
) -> None:
    """Takes its time: eight arms that are drawn, each trained once in one go and once through all its kills."""
    configuration = BASE
    for piece in pieces:
        configuration = overlay(configuration, PIECES[piece])
    optimiser = configuration.get("optimiser", {})
    if optimiser.get("name") == "adam":
        optimiser = {"name": "adam", "lr": 0.01}
    configuration = overlay(
        {key: value for key, value in configuration.items() if key != "optimiser"},
        {
            "optimiser": optimiser,
            "model": {"depth": depth, "residual": residual},
            "clipping": {"kind": clipping, "threshold": 0.1},
            "data": {"num_validation": 40, "batch_size": batch_size},
            "training": {"validate_every": validate_every},
            "probes": {"every": probe_every},
        },
    )
    assert_same(
        laboratory.train(configuration, every_seconds=1e9), laboratory.train(configuration, kills, every_seconds)
    )


@pytest.mark.slow
def test_interval_decides_how_much_is_done_again(laboratory: Laboratory, tmp_path: Path) -> None:
    """Killed before step 9: with a checkpoint before every step it goes on at 8, without any at 0."""
    for every_seconds, taken_up in ((0.0, [0, 8]), (1e9, [])):
        record, _ = laboratory.train(BASE, [("before a step", 10, int(signal.SIGKILL))], every_seconds)
        assert [part["from_step"] for part in record.environment.get("parts", [])] == taken_up


@pytest.mark.slow
def test_request_to_stop_leaves_a_checkpoint_of_all_that_was_done(laboratory: Laboratory) -> None:
    kills = [("inside a step", 4, int(signal.SIGTERM)), ("inside a step", 3, int(signal.SIGINT))]
    record, _ = laboratory.train(BASE, kills, every_seconds=1e9)
    # The signal comes inside step 3: that step is finished first.
    assert [part["from_step"] for part in record.environment["parts"]] == [0, 4, 7]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        {"norm": "batch", "dropout": 0.3, "activation": "rrelu"},
        {"kind": "cnn", "width": 4, "norm": "batch"},
    ],
    ids=["mlp", "cnn"],
)
def test_nothing_that_watches_changes_a_weight(laboratory: Laboratory, model: dict[str, Any]) -> None:
    """Probes at every step or none, validation often or never, checkpoints before every step or none."""
    configuration = overlay(BASE, {"model": model, "data": {"num_validation": 40}})
    watched = overlay(
        configuration,
        {
            "probes": {"every": 1, "shift": True, "gradient_change": True},
            "training": {"validate_every": 1, "evaluate_train": True},
        },
    )
    alone = overlay(configuration, {"probes": {"every": 0}, "training": {"evaluate": False}})
    records = [laboratory.train(each, every_seconds=seconds)[0] for each, seconds in ((watched, 0.0), (alone, 1e9))]
    assert records[0].weights_sha256 == records[1].weights_sha256
    np.testing.assert_array_equal(records[0].series["train_loss"], records[1].series["train_loss"])
