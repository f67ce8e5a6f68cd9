"""`python -m benchmarks.slurm`: ten claims as jobs of a real Slurm, one of them cancelled; an arm over its time limit.

By hand, as root, where slurm-wlm and munge are installed; takes some minutes, so CI does not run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.slurm.daemons import missing, slurm
from vgtemplate.records import read_all

TEN = (
    *("relu-keeps-gradient", "sigmoid-vanishes", "tanh-beats-sigmoid", "relu-not-centred", "glorot-suits-saturating"),
    *(
        "large-init-explodes",
        "saturation-kills-gradient",
        "dead-unit-no-gradient",
        "derivative-bounds",
        "two-layer-speed-gap",
    ),
)
_LIMIT_SECONDS = 120
"""Of the shortest that Slurm knows, a minute, a busy machine needs the most to start a worker."""
_LONG = {
    "id": "trains-long",
    "articles": [],
    "statement": "A network trains for longer than its job may run.",
    "kind": "training",
    "literature": "none",
    "parts": [{"metric": "test_accuracy", "arms": ["long"], "threshold": ">= 0"}],
}


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a reproduction with its results in a folder."""
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "vgtemplate",
        "reproduce",
        *arguments,
        "--dataset",
        "digits",
        "--no-tracking",
        "--json",
    ]
    settings = {"VGT_RESULTS_DIR": str(folder), "OMP_NUM_THREADS": "1", "VGT_CHECKPOINT_SECONDS": "1"}
    settings |= {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    env = os.environ | settings | environment
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], str]:
    """Wait for its end; return the results and what was said."""
    out, said = process.communicate(timeout=3000)
    assert process.returncode == 0, said
    return json.loads(out), said


def jobs() -> list[str]:
    """The numbers of the jobs that run."""
    listed = subprocess.run(["squeue", "-h", "-t", "RUNNING", "-o", "%i"], capture_output=True, text=True).stdout
    return listed.split()


def cancel_one(results: Path, process: subprocess.Popen[str]) -> str:
    """Cancel a job as soon as there is a record, and return its number."""
    while not list(results.glob("[!.]*/record.json")) or not jobs():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    job = jobs()[0]
    subprocess.run(["scancel", job], check=True)
    return job


def judge_ten(folder: Path) -> None:
    """Judge ten claims through Slurm, a job being cancelled meanwhile, and on this machine, and compare."""
    started, there, here = time.monotonic(), folder / "slurm", folder / "here"
    process = start(there, *TEN, "--seeds", "2", "--cluster", "slurm:debug", "--jobs", "2")
    cancelled = cancel_one(there, process)
    results, said = end(process)
    print(f"ten claims in {time.monotonic() - started:.0f} s, job {cancelled} cancelled:")
    print("".join(f"  {line}\n" for line in said.splitlines() if "gone" in line or "lost" in line), end="")
    alone, _ = end(start(here, *TEN, "--seeds", "2", "--jobs", "2"))
    for one, other in zip(results, alone, strict=True):
        assert (one["verdict"], one["parts"]) == (other["verdict"], other["parts"]), one["id"]
    ours = {record.key: record.weights_sha256 for record in read_all(here)}
    theirs = {record.key: record.weights_sha256 for record in read_all(there)}
    assert ours == theirs
    assert jobs() == []
    print(f"the same verdicts as on this machine, and {len(ours)} records of the same weights, bit for bit")


def _write_long(folder: Path, steps: int) -> None:
    arm = {
        "model": {"depth": 6, "width": 32, "activation": "tanh"},
        "training": {"steps": steps},
        "data": {"num_train": 500},
        "probes": {"every": 0},
    }
    folder.mkdir(exist_ok=True)
    (folder / "trains-long.yaml").write_text(yaml.safe_dump(_LONG | {"arms": {"long": arm}}))


def outlive_the_limit(folder: Path) -> None:
    """Train an arm for longer than its job may run: it writes a checkpoint, and the next job goes on from it."""
    claims, steps = folder / "claims", 300
    _write_long(claims, steps)
    named = {"VGT_CLAIMS_DIR": str(claims)}
    end(start(folder / "short", "trains-long", "--seeds", "2", "--jobs", "1", **named))
    (record,) = read_all(folder / "short")
    steps = round(1.5 * _LIMIT_SECONDS * steps / record.wall_seconds)
    _write_long(claims, steps)
    limit = {"DASK_JOBQUEUE__SLURM__WALLTIME": f"00:{_LIMIT_SECONDS // 60:02}:00"}
    started, results = time.monotonic(), folder / "limited"
    _, said = end(
        start(results, "trains-long", "--seeds", "2", "--cluster", "slurm:debug", "--jobs", "1", **named, **limit)
    )
    (record,) = read_all(results)
    parts = record.environment["parts"]
    assert len(parts) > 1, "the arm has ended before its job's time limit: it is too fast for this check"
    assert all(part["from_step"] > 0 for part in parts[1:])
    print(f"{steps} steps in {time.monotonic() - started:.0f} s, over {len(parts)} jobs of {_LIMIT_SECONDS} s at most:")
    print("".join(f"  a job went on from step {part['from_step']}\n" for part in parts[1:]), end="")
    print("".join(f"  {line}\n" for line in said.splitlines() if "gone" in line), end="")


def main() -> None:
    if lacking := missing():
        sys.exit(f"not installed: {', '.join(lacking)} (Debian: apt-get install slurm-wlm munge)")
    with tempfile.TemporaryDirectory() as name, slurm(Path(name, "daemons")):
        judge_ten(Path(name))
        outlive_the_limit(Path(name))


if __name__ == "__main__":
    main()
