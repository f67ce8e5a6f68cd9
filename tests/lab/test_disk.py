"""A disk that is full, read-only, cut off in the middle of a write, or altered behind our back. Real processes."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import CALL, run_vgt
from vgtemplate.records import read_record

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"
CLAIMS = ["chain-rule-product", "tanh-beats-sigmoid"]
REPRODUCE = ["reproduce", *CLAIMS, "--dataset", "digits", "--seeds", "2", "--jobs", "1", "--no-tracking"]
SMALL = 6_000
"""Bytes: an exact check's record is smaller, an arm's larger."""


def environment_of(results: Path) -> dict[str, str]:
    settings = {"VGT_RESULTS_DIR": str(results), "VGT_CLAIMS_DIR": str(EXPERIMENTS), "OMP_NUM_THREADS": "1"}
    return os.environ | settings


def vgt(results: Path, *arguments: str, code: str = CALL) -> subprocess.CompletedProcess[str]:
    return run_vgt(*arguments, cwd=results, environment=environment_of(results), code=code)


def vgt_anew(
    results: Path, *arguments: str, before: Callable[[], None] | None = None, code: str = CALL
) -> subprocess.CompletedProcess[str]:
    """Run it in a Python that starts anew, and its workers too."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment_of(results) | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def limit_files() -> None:
    """No file larger than this: what a full disk does to a write, without a disk to fill."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))


def obey_permissions() -> None:
    """Take the superuser's right to pass over permissions from this process."""
    if os.geteuid() == 0:
        capability_drop, override = 24, 1
        ctypes.CDLL(None).prctl(capability_drop, override, 0, 0, 0)


def contents(results: Path) -> dict[str, bytes]:
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which everything has a record."""
    results = tmp_path_factory.mktemp("judged")
    ended = vgt(results, *REPRODUCE)
    assert ended.returncode == 0, ended.stderr
    return results


def test_what_has_every_record_is_judged_again_without_torch(judged: Path) -> None:
    code = f"import atexit, sys; atexit.register(lambda: print('torch loaded:', 'torch' in sys.modules)); {CALL}"
    again = vgt_anew(judged, *REPRODUCE, code=code)
    assert again.returncode == 0, again.stderr
    assert "2 confirmed" in again.stdout
    assert again.stdout.splitlines()[-1] == "torch loaded: False"


def test_full_disk_fails_what_does_not_fit_and_keeps_what_is_there(judged: Path, tmp_path: Path) -> None:
    """Takes its time: Python and its workers start anew, since the limit on files is set between fork and start."""
    full = vgt_anew(tmp_path, *REPRODUCE, before=limit_files)
    assert full.returncode == 1
    text = " ".join(full.stdout.split())
    assert "the record cannot be written (File too large)" in text
    assert "1 confirmed; 1 failed" in text
    assert "Traceback" not in full.stdout + full.stderr
    kept = [path.parent.name for path in tmp_path.glob("*/record.json")]
    assert len(kept) == 1
    assert not list(tmp_path.glob(".writing-*"))
    before = contents(tmp_path / kept[0])
    again = vgt(tmp_path, *REPRODUCE)
    assert again.returncode == 0
    assert contents(tmp_path / kept[0]) == before
    for path in judged.glob("*/series.npz"):
        assert (tmp_path / path.parent.name / "series.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        REPRODUCE,
        ["train", str(EXPERIMENTS.parent / "mlp-variants.yaml"), "--dataset", "digits", "--seeds", "1"],
        ["tune", "elu-converges-faster", "--dataset", "digits"],
        ["stability", "tanh-beats-sigmoid", "--dataset", "digits"],
        ["report", "--dataset", "digits"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_results_folder_that_cannot_be_written_is_said_before_anything_runs(
    arguments: list[str], tmp_path: Path
) -> None:
    tmp_path.chmod(0o555)
    # Such a right is lost with the start of a program.
    ended = vgt_anew(tmp_path, *arguments, before=obey_permissions)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}: the results folder cannot be written (Permission denied)")
    assert list(tmp_path.iterdir()) == []


CUT_OFF = """
import os, signal, sys
from pathlib import Path

from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.plan import plan_claims, select_claims
from vgtemplate.lab.worker import run_task

results, experiments, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
plan = plan_claims(select_claims(load_claims(experiments), ["chain-rule-product"]), experiments, "digits", [0], results)
if moment != "none":
    owner = os if moment == "fsync" else Path
    setattr(owner, moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
for job in plan.jobs.values():
    run_task(job, results, results, "cpu")
"""


def test_power_cut_between_write_and_rename_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    arguments = (str(tmp_path), str(EXPERIMENTS))
    for moment in ("fsync", "chmod", "rename"):
        assert vgt(tmp_path, *arguments, moment, code=CUT_OFF).returncode == -signal.SIGKILL
        assert not list(tmp_path.glob("[!.]*/record.json"))
        assert len(list(tmp_path.glob(".writing-*"))) == 1
    assert vgt(tmp_path, *arguments, "none", code=CUT_OFF).returncode == 0
    assert len(list(tmp_path.glob("*/record.json"))) == 1
    assert not list(tmp_path.glob(".writing-*"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lie(path: Path) -> None:
    """Change a number of the record into another that is as good JSON."""
    content = json.loads(path.read_text())
    content["wall_seconds"] += 1.0
    path.write_text(json.dumps(content))


def test_altered_records_are_said_and_made_again_to_the_same_bits(judged: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(judged, results)
    folders = sorted(path.parent for path in results.glob("*/record.json"))
    assert len(folders) == 3
    truncate(folders[0] / "series.npz")
    flip(folders[1] / "series.npz")
    lie(folders[2] / "record.json")
    said = vgt(results, "records", "verify").stdout.splitlines()[:-1]
    assert [line.split(": ")[:2] for line in said] == [[str(folder), "damaged"] for folder in folders]
    ended = vgt(results, *REPRODUCE)
    assert ended.returncode == 0
    for folder, line in zip(folders, said, strict=True):
        assert f": {line}; it is made anew\n" in ended.stdout
        assert read_record(results, folder.name) is not None
        assert (folder / "series.npz").read_bytes() == (judged / folder.name / "series.npz").read_bytes()


def test_series_of_another_record_are_not_taken_for_ones_own(judged: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(judged, results)
    one, other, _ = sorted(path.parent for path in results.glob("*/record.json"))
    shutil.copy(other / "series.npz", one / "series.npz")
    assert read_record(results, one.name) is None
    assert read_record(results, other.name) is not None
