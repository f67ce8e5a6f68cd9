"""What the commands say of clusters before anything runs on one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended
from vgtemplate.config.errors import UserError
from vgtemplate.lab.cli.cluster import make_how

CLAIM = ("reproduce", "relu-keeps-gradient", "--dataset", "digits")


@pytest.mark.parametrize(
    ("command", "where"),
    [
        *((CLAIM, where) for where in ("nowhere", "local:0", "tcp://host", "slurm:", "host:8786")),
        (("tune", "batchnorm-regularises", "--dry-run", "--dataset", "digits"), "nowhere"),
        (("stability", "relu-keeps-gradient", "--dataset", "digits"), "nowhere"),
    ],
)
def test_what_names_no_cluster_is_refused(
    call_vgt: Callable[..., Ended], results: Path, command: tuple[str, ...], where: str
) -> None:
    ended = call_vgt(*command, "--cluster", where)
    assert ended.code == 2
    assert f"error: --cluster: '{where}' names no cluster; allowed: tcp://HOST:PORT" in ended.err


def test_jobs_go_with_slurm_alone(call_vgt: Callable[..., Ended], results: Path, tmp_path: Path) -> None:
    assert "--jobs does not go with --cluster local:2" in call_vgt(*CLAIM, "--cluster", "local:2", "--jobs", "3").err
    how = make_how(tmp_path, tmp_path, 3, "cpu", "slurm:debug", 5)
    assert (how.num_workers, how.cluster, how.share) == (3, "slurm:debug", 5)
    assert make_how(tmp_path, tmp_path, None, "cpu", "local:2", None).num_workers == 2


def test_scheduler_is_taken_from_where_dask_looks_for_it(
    call_vgt: Callable[..., Ended], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "no-address")
    assert "--cluster: 'no-address' names no cluster" in call_vgt(*CLAIM).err


def test_library_that_is_missing_is_said_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"distributed is not installed: pip install 'vgtemplate\[cluster\]'"):
        make_how(tmp_path, tmp_path, None, "cpu", "local:2", None)


def test_plan_says_how_long_it_takes_and_runs_nothing(call_vgt: Callable[..., Ended], results: Path) -> None:
    ended = call_vgt("reproduce", "he-suits-relu", "--dataset", "digits", "--cluster-plan", "3")
    assert ended.succeeded
    lines = ended.out.splitlines()
    assert lines[0] == "data set: digits, seeds 0 to 9"
    assert lines[1] == "12 arms on 3 workers of one thread (a rough estimate)"
    assert [line.split()[:2] for line in lines[4:8]] == [["all", "12"], ["5", "24"], ["2", "60"], ["1", "120"]]
    assert "the longest arm is he-suits-relu: " in ended.out
    assert not list(results.glob("*/record.json"))
