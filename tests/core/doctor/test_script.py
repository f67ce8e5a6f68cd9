"""The watch of a script, with real scripts in processes of their own: plain loops and what libraries run.

Each library that loads torch itself is watched in a Python that starts anew, since the doctor begins in the middle of
its import; all else is forked from one that has torch loaded.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import run_vgt
from vgtemplate.doctor import script

SCRIPTS = Path(__file__).parent / "scripts"
QUIET = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


PLAIN = "import runpy, sys\nsys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')"


def forked(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `vgt`, or code, in a process in which torch is loaded already."""
    return run_vgt(*map(str, arguments), cwd=SCRIPTS, environment=os.environ | QUIET, code=code)


def plain(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script without the doctor."""
    return forked(*arguments, code=PLAIN)


def diagnose_forked(*arguments: object) -> subprocess.CompletedProcess[str]:
    return forked("diagnose", *arguments)


def diagnose(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it under the doctor in a Python that starts anew."""
    call = [sys.executable, "-m", "vgtemplate", "diagnose", *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, env=os.environ | QUIET)


def same(left: Path, right: Path) -> bool:
    """Whether two scripts have left the same weights, bit for bit."""
    found: list[Any] = [torch.load(path) for path in (left, right)]
    plain = [each.items() if isinstance(each, dict) else enumerate(each) for each in found]
    return all(
        name == other and torch.equal(tensor, value) for (name, tensor), (other, value) in zip(*plain, strict=True)
    )


WATCHED = {
    "apart.py": ([0, 1, 4, 9, 19], {"encoder.0", "decoder"}),
    "gan.py": ([0, 1, 4, 9, 19], {"generator.0", "critic.2"}),
    "by_name.py": ([0, 1, 4, 9, 19], {"weight"}),
    "fabric.py": ([0, 1, 9], {"0", "2"}),
    "scaled.py": ([0, 1, 9], {"0", "2"}),
    "lbfgs.py": ([0, 1, 9], {"0", "2"}),
    "lightning_module.py pytorch_lightning": ([0, 1, 9, 19], {"encoder.0", "head"}),
    "lightning_module.py lightning.pytorch": ([0, 1, 9, 19], {"encoder.0", "head"}),
    "hugging_face.py": ([0, 1, 9], {"bert.encoder.layer.0.attention.self.query", "classifier"}),
    "keras_fit.py": ([0, 1, 9], {"_torch_params.sequential/dense/kernel"}),
}
"""By script: some of the steps and layers that must have been seen."""
ANEW = ("apart.py", "lightning_module.py lightning.pytorch", "hugging_face.py", "keras_fit.py")


@pytest.mark.slow
@pytest.mark.parametrize("script", WATCHED)
def test_every_kind_of_loop_is_watched_and_ends_with_the_same_weights(script: str, tmp_path: Path) -> None:
    """Takes its time where a library is loaded twice, without the doctor and under it."""
    name, *arguments = script.split()
    alone = plain(SCRIPTS / name, *arguments, tmp_path / "plain.pt")
    assert alone.returncode == 0, alone.stderr
    run = diagnose if script in ANEW else diagnose_forked
    done = run("--json", tmp_path / "report.json", SCRIPTS / name, *arguments, tmp_path / "watched.pt")
    assert done.returncode == 0, done.stderr
    assert done.stdout == alone.stdout or name == "hugging_face.py"  # which prints how long it took
    assert same(tmp_path / "plain.pt", tmp_path / "watched.pt")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    steps, layers = WATCHED[script]
    assert set(steps) <= set(report["steps"])
    assert None not in report["losses"]
    assert layers <= set(report["layers"])
    assert not [note for note in report["notes"] if "withdrawn" in note or "not measured" in note]
    assert not [note for note in report["notes"] if "in no optimiser" in note and name == "gan.py"]


@pytest.mark.slow
def test_player_that_has_not_moved_yet_when_its_script_fails_is_in_an_optimiser(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    text = (SCRIPTS / "gan.py").read_text(encoding="utf-8")
    text = text.replace("fake.detach()", "fake").replace(
        "moves_critic.step()", "moves_critic.step(); raise SystemExit(3)"
    )
    script.write_text(text, "utf-8")
    done = diagnose_forked("--json", tmp_path / "report.json", script, tmp_path / "out.pt")
    assert done.returncode == 3
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["findings"] == []


def test_optimiser_without_a_network_is_looked_for_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves an image alone has no network, and to look through the memory takes longer than a step."""
    looked: list[set[int]] = []
    monkeypatch.setattr(script, "find_network", lambda near, *_: looked.append(near))
    picture = torch.zeros(8, requires_grad=True)
    optimizer = torch.optim.SGD([picture], 0.1)
    watch = script.ScriptWatch(200, lambda report: None)
    watch.start()
    try:
        for _ in range(50):
            picture.square().sum().backward()
            optimizer.step()
    finally:
        watch.end()
    assert 0 < len(looked) <= 10


@pytest.mark.slow
def test_processes_that_share_a_training_are_watched_once(tmp_path: Path) -> None:
    done = diagnose_forked(SCRIPTS / "lightning_module.py", "pytorch_lightning", tmp_path / "out.pt", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("vgt diagnose ") == 1
    assert (tmp_path / "out.pt").exists()


@pytest.mark.slow
def test_processes_that_load_data_are_left_alone(tmp_path: Path) -> None:
    done = diagnose_forked(SCRIPTS / "plain.py", "--workers", 2, "--out", tmp_path / "watched.pt")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("vgt diagnose ") == 1
    plain(SCRIPTS / "plain.py", "--workers", 2, "--out", tmp_path / "plain.pt")
    assert same(tmp_path / "plain.pt", tmp_path / "watched.pt")


@pytest.mark.slow
def test_doctor_that_fails_leaves_the_script_alone(tmp_path: Path) -> None:
    """The doctor's own judgement is broken here: the script ends as without it."""
    broken = (
        "import vgtemplate.doctor.script as script\n"
        "def fail(*_):\n    raise ZeroDivisionError('of the doctor')\n"
        "script.{name} = fail\n"
        "import sys\nfrom vgtemplate.cli.main import main\n"
        "sys.argv = ['vgt', 'diagnose', '--steps', '10', *sys.argv[1:]]\nmain()"
    )
    plain(SCRIPTS / "plain.py", "--out", tmp_path / "plain.pt")
    for name in ("find_network", "Observer", "examine"):
        script = broken.replace("{name}", name)
        done = forked(SCRIPTS / "plain.py", "--out", tmp_path / "watched.pt", code=script)
        assert "done __main__" in done.stdout
        assert "the doctor has withdrawn (ZeroDivisionError: of the doctor)" in done.stderr
        assert done.returncode == 2
        assert same(tmp_path / "plain.pt", tmp_path / "watched.pt")
