"""A job that is killed at the worst moment, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import run_vgt
from vgtemplate.jobs.locks import hold
from vgtemplate.records import read_record

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.mark.slow
def test_training_killed_between_record_and_models_has_both_or_neither(tmp_path: Path) -> None:
    code = """if True:
    import os
    from vgtemplate.cli.main import main
    from vgtemplate.training import models
    really_write = models.write_model
    def killed(path, model):
        really_write(path, model)
        if os.environ.get("KILL"):
            os._exit(9)
    models.write_model = killed
    main()
    """
    arm = ("train", str(EXPERIMENTS / "mlp-variants.yaml"), "--arm", "plain", "--dataset", "digits", "--seeds", "1")
    environment = os.environ | {"VGT_RESULTS_DIR": str(tmp_path), "VGT_CHECKPOINT_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    killed, done = (
        run_vgt(
            *arm,
            *("--set", "training.steps=20", "--no-tracking"),
            cwd=tmp_path,
            environment=environment | kill,
            code=code,
        )
        for kill in ({"KILL": "1"}, {"KILL": ""})
    )
    assert killed.returncode == 9, killed.stderr
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("*/record.json")
    assert (folder.parent / "last.pt").exists()
    record = read_record(tmp_path, folder.parent.name)
    assert record is not None
    assert record.environment["parts"]  # taken up from the checkpoint, not trained again


def test_checkpoints_of_what_has_a_record_are_swept_away_unless_it_is_being_trained(tmp_path: Path) -> None:
    for key, has_record in (("done", True), ("again", True), ("half", False)):
        (tmp_path / ".checkpoints" / key).mkdir(parents=True)
        if has_record:
            (tmp_path / key).mkdir()
    with hold(tmp_path, "again"):
        code = "import sys; from pathlib import Path; from vgtemplate.jobs.leftovers import sweep_checkpoints as sweep"
        subprocess.run([sys.executable, "-c", f"{code}; sweep(Path(sys.argv[1]))", str(tmp_path)], check=True)
    assert {path.name for path in (tmp_path / ".checkpoints").iterdir()} == {"again", "half"}
