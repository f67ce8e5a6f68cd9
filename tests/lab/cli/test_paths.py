"""A project's own claims go before those of the package, which are there in any folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from vgtemplate.cli.main import vgt
from vgtemplate.config import shipped
from vgtemplate.config.errors import UserError
from vgtemplate.lab.cli.paths import claims_dir, require_own

CLAIMS = Path(__file__).parents[3] / "experiments" / "claims"
OWN = """\
id: {}
articles: []
statement: A tanh network of three layers has a gradient.
kind: initial
arms:
  tanh: {{model: {{activation: tanh, depth: 3, width: 8}}, training: {{steps: 1}}}}
parts:
  - {{metric: gradient_slope, arms: [tanh], threshold: "> -10"}}
literature: Nobody has asked.
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no folder of claims in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VGT_CLAIMS_DIR", raising=False)
    return tmp_path


def write(folder: str, name: str = "own") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / f"{name}.yaml").write_text(OWN.format(name))


def test_empty_folder_has_the_claims_of_the_package() -> None:
    assert claims_dir() == CLAIMS


def test_own_claims_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    write("experiments/claims")
    assert claims_dir() == Path("experiments/claims")
    write("claims")
    assert claims_dir() == Path("claims")
    monkeypatch.setenv("VGT_CLAIMS_DIR", "elsewhere")
    assert claims_dir() == Path("elsewhere")


def test_folder_of_other_claims_is_passed_over() -> None:
    Path("claims").mkdir()
    Path("claims/insurance.yaml").write_text("customer: 7\n")
    assert claims_dir() == CLAIMS


def test_claim_that_cannot_be_read_is_said_rather_than_passed_over(call_vgt: Callable[..., Any]) -> None:
    Path("claims").mkdir()
    Path("claims/own.yaml").write_text("id: [\n")
    ended = call_vgt("claims")
    assert ended.refused, ended
    assert "claims/own.yaml: line 2" in ended.err


def test_picks_are_not_written_into_an_installed_package(
    call_vgt: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_own(CLAIMS)
    monkeypatch.setattr(shipped, "_INSIDE", CLAIMS.parent)
    with pytest.raises(UserError, match="take them along first: cp -r"):
        require_own(CLAIMS)
    ended = call_vgt("tune", "elu-converges-faster", "--dataset", "digits")
    assert ended.refused, ended
    assert not (folder / "results").exists()
    write("claims")
    require_own(claims_dir())


@pytest.mark.slow
def test_project_with_claims_of_its_own_only(call_vgt: Callable[..., Any]) -> None:
    write("claims")
    run = ("--dataset", "digits", "--seeds", "2", "--no-tracking")
    reproduced = call_vgt("reproduce", *run, "--jobs", "1")
    assert reproduced.code == 0, reproduced
    assert "1 claim" in reproduced.out
    report = Path("results/report/index.html")
    page = report.read_text()
    assert "own" in page
    assert "relu-keeps-gradient" not in page
    report.unlink()
    assert call_vgt("report", *run).code == 0
    assert report.read_text() == page


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("reproduce", "relu-k"), ["relu-keeps-gradient"]),
        (("reproduce", "derivative-bounds", "relu-k"), ["relu-keeps-gradient"]),
        (("reproduce", "gallery"), []),
        (("tune", "elu-conv"), ["elu-converges-faster"]),
        (("stability", "selu-w"), ["selu-wins-dense"]),
        (("reproduce", "--article", "bn"), ["bn-relu"]),
        (("report", "--dataset", "a"), ["auto"]),
    ],
)
def test_claims_are_completed_in_any_folder(words: tuple[str, ...], found: list[str]) -> None:
    completed = ShellComplete(vgt, {}, "vgt", "_VGT_COMPLETE").get_completions([*words[:-1]], words[-1])
    assert [item.value for item in completed] == found


def test_a_projects_own_claims_are_completed(folder: Path) -> None:
    (folder / "claims").mkdir()
    (folder / "claims" / "mine.yaml").write_text(OWN.format("mine"))
    (folder / "claims" / "notes.yaml").write_text("a: 1\n")
    completed = ShellComplete(vgt, {}, "vgt", "_VGT_COMPLETE").get_completions(["reproduce"], "")
    assert [item.value for item in completed] == ["mine"]


QUIET = {
    "claims": ["claims", "--json"],
    "reproduce": ["reproduce", "derivative-bounds", "--no-tracking", "--jobs", "1"],
    "predict": ["predict", "--activation", "selu"],
    "check": ["check", "a_small_net:net", "--input", "8,4"],
    "report": ["report", "--no-tracking"],
    "schema": ["schema", "claim"],
    "info": ["info"],
    "metrics": ["metrics"],
    "records": ["records", "list"],
    "completion": ["completion", "bash"],
    "dry run": ["train", "mlp-variants", "--dry-run", "--dataset", "digits"],
}


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_any_folder_will_do_and_is_left_as_it_was(
    folder: Path, call_vgt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere := folder / "elsewhere").mkdir()
    (here := folder / "here").mkdir()
    monkeypatch.chdir(here)
    for variable in ("VGT_RESULTS_DIR", "VGT_DATA_DIR"):
        monkeypatch.setenv(variable, str(elsewhere / variable))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (elsewhere / "a_small_net.py").write_text("import torch\n\n\ndef net():\n    return torch.nn.Linear(4, 3)\n")
    monkeypatch.syspath_prepend(elsewhere)
    here.chmod(0o555)
    for name, words in QUIET.items():
        ended = call_vgt(*words)
        assert ended.code in (0, 1) if name == "check" else ended.code == 0, (name, ended)
        assert list(here.iterdir()) == [], name
