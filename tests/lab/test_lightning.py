"""A worker trains by the Lightning that the code of the user's own has imported, whatever it has trained before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.test_lightning import DISTRIBUTIONS, LIT, PACKAGES

RUN = """
from pathlib import Path
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.jobs.job import plan_arms
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs
from vgtemplate.records import make_results_folder

if __name__ == "__main__":
    path = Path("own.yaml")
    jobs = plan_arms(resolve_arms(path, load_experiment(path, ExperimentConfig)), [0], Path("."), "own")
    for job, failure in run_jobs(jobs, How(make_results_folder(Path("results")), Path("."), 1, "cpu", threads=1)):
        print(job.name, failure or "done")
"""
EXPERIMENT = """
arms:
  built_in: {data: {dataset: digits, num_train: 64}, training: {steps: 50}}
  lit: {module: {factory: "lit:LitNet"}, data: {dataset: digits, num_train: 64}, training: {steps: 2}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_worker_trains_modules_of_either_beside_built_in_networks(tmp_path: Path, package: str) -> None:
    (tmp_path / "lit.py").write_text(LIT.format(package=package))
    (tmp_path / "own.yaml").write_text(EXPERIMENT)
    (tmp_path / "run.py").write_text(RUN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "run.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert sorted(done.stdout.splitlines()) == ["built_in done", "lit done"], done.stderr
    for path in tmp_path.glob("results/*/record.json"):
        assert DISTRIBUTIONS[package] in json.loads(path.read_bytes())["environment"]["versions"]
