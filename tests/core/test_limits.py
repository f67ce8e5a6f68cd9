"""What this process may use: a container's limit counts as the machine's own does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from vgtemplate import limits

MEGABYTE = 2**20


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the control groups, of which there are none yet."""
    monkeypatch.setattr(limits, "_OWN", tmp_path / "own")
    monkeypatch.setattr(limits, "_MOUNT", tmp_path / "cgroup")
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_a_limit_it_is_the_machines(groups: Path) -> None:
    assert limits.total_memory() == psutil.virtual_memory().total
    write(groups / "cgroup" / "job", memory__max="max", memory__current=5)
    (groups / "own").write_text("0::/job\n")
    assert limits.total_memory() == psutil.virtual_memory().total
    assert 0 < limits.free_memory() <= limits.total_memory() + psutil.swap_memory().total


def test_limit_of_version_2_and_what_can_be_given_back(groups: Path) -> None:
    (groups / "own").write_text("0::/slurm/job_7/step_0\n")
    write(groups / "cgroup" / "slurm" / "job_7" / "step_0", memory__max="max")
    stat = f"anon {60 * MEGABYTE}\ninactive_file {30 * MEGABYTE}"
    write(
        groups / "cgroup" / "slurm" / "job_7",
        memory__max=100 * MEGABYTE,
        memory__current=90 * MEGABYTE,
        memory__stat=stat,
    )
    assert limits.total_memory() == 100 * MEGABYTE
    assert limits.free_memory() == 40 * MEGABYTE


def test_innermost_limit_need_not_be_the_narrowest(groups: Path) -> None:
    (groups / "own").write_text("0::/a/b\n")
    write(groups / "cgroup" / "a" / "b", memory__max=90 * MEGABYTE, memory__current=0)
    write(groups / "cgroup" / "a", memory__max=50 * MEGABYTE, memory__current=45 * MEGABYTE)
    assert limits.total_memory() == 50 * MEGABYTE
    assert limits.free_memory() == 5 * MEGABYTE


def test_container_under_version_1_does_not_see_its_path(groups: Path) -> None:
    (groups / "own").write_text("9:cpu:/docker/0a\n4:memory:/docker/0a\n0::/docker/0a\n")
    write(groups / "cgroup" / "memory", memory__limit_in_bytes=64 * MEGABYTE, memory__usage_in_bytes=80 * MEGABYTE)
    assert limits.total_memory() == 64 * MEGABYTE
    assert limits.free_memory() == 0


@pytest.mark.parametrize("content", ["", "nonsense", "-1", "9223372036854771712", "10**9"])
def test_what_is_no_limit_is_none(groups: Path, content: str) -> None:
    (groups / "own").write_text("4:memory:/\n")
    write(groups / "cgroup" / "memory", memory__limit_in_bytes=content)
    assert limits.total_memory() == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1 100000", 1)]
)
def test_share_of_time_counts_as_cores(groups: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (groups / "own").write_text("0::/job/step\n")
    write(groups / "cgroup" / "job", cpu__max=quota)
    assert limits.num_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [(-1, 8), (400_000, 4), ("", 8)])
def test_share_of_time_of_version_1(groups: Path, monkeypatch: pytest.MonkeyPatch, quota: object, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (groups / "own").write_text("4:cpu,cpuacct:/docker/0a\n")
    write(groups / "cgroup" / "cpu", cpu__cfs_quota_us=quota, cpu__cfs_period_us=100_000)
    assert limits.num_cores() == cores


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A control group of 1 GB."""
    name = f"vgtemplate-test-{os.getpid()}"
    for mount, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        folder = Path("/sys/fs/cgroup") / mount / name
        try:
            folder.mkdir()
            (folder / limit).write_text(str(1000 * MEGABYTE))
        except OSError:
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("no control group can be made here: that takes root, and a machine that lets it")


def test_real_limit_refuses_what_does_not_fit(real_group: Path, tmp_path: Path) -> None:
    """A process that has been put under a limit says the numbers, where else the machine would have room."""
    enter = f"open({str(real_group / 'cgroup.procs')!r}, 'w').write('0')"
    words = ["train", "mlp-variants", "--arm", "plain", "--dataset", "digits", "--no-tracking"]
    words += ["--set", "model.width=1500", "--set", "model.depth=40"]
    code = f"{enter}; import sys; sys.argv[1:] = {words!r}; from vgtemplate.cli.main import main; main()"
    environment = os.environ | {"VGT_RESULTS_DIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2, ended.stderr
    assert "GB are free" in ended.stderr
