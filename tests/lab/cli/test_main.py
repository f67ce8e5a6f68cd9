"""The laboratory's commands as processes of their own: what they load, and what they answer to mistakes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli import COMMANDS
from vgtemplate.lab.picks import read_picks

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
CLAIMS_DIR = EXPERIMENTS / "claims"
Vgt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's claims are the ones that commands find."""
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(CLAIMS_DIR))


def test_no_command_loads_what_is_heavy_before_it_is_called() -> None:
    heavy = {"torch", "mlflow", "pytorch_lightning", "lightning", "torchvision", "matplotlib"}
    modules = ", ".join(module for module, *_ in COMMANDS.values())
    code = f"import sys, {modules}; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_lists_the_laboratorys_commands(vgt: Vgt) -> None:
    assert all(f"  {name} " in vgt("--help").stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reproduce", "relu-keeps-gradeint"), ("unknown claim", "did you mean 'relu-keeps-gradient'")),
        (("reproduce", "--article", "bn-rleu"), ("unknown article", "did you mean 'bn-relu'")),
        (("reproduce", "--seeds", "0"), ("--seeds",)),
        (("reproduce", "--dataset", "minst"), ("unknown data set", "did you mean 'mnist'")),
        (("reproduce", "--nonsense"), ("--nonsense",)),
        (("reprodcue",), ("unknown command", "did you mean 'reproduce'")),
    ],
)
def test_bad_command_is_one_line_and_exit_code_2(
    vgt: Vgt, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = vgt(*arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert all(word in line for word in words)
    assert not (tmp_path / "results").exists()


def test_claims_json_lists_every_claim(vgt: Vgt) -> None:
    claims = json.loads(vgt("claims", "--json").stdout)
    assert [claim["id"] for claim in claims] == list(load_claims(CLAIMS_DIR))
    assert {claim["kind"] for claim in claims} == {"exact", "timing", "initial", "training"}
    assert all(claim["statement"] and claim["parts"] and claim["literature"] for claim in claims)


def test_claim_of_ones_own_is_listed_without_an_article(vgt: Vgt, tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    text = (CLAIMS_DIR / "chain-rule-product.yaml").read_text()
    text = text.replace("articles: [unstable-gradients]", "articles: []")
    assert "articles: []" in text
    (tmp_path / "claims" / "chain-rule-product.yaml").write_text(text)
    done = vgt("claims", VGT_CLAIMS_DIR=str(tmp_path / "claims"))
    assert done.returncode == 0, done.stderr
    assert "chain-rule-product" in done.stdout


def test_arm_of_a_claim_is_trained_with_the_settings_that_were_searched(vgt: Vgt) -> None:
    picks = read_picks(CLAIMS_DIR, "digits")["elu-converges-faster"]
    command = (
        "train",
        str(CLAIMS_DIR / "elu-converges-faster.yaml"),
        "--dataset",
        "digits",
        "--dry-run",
        "--arm",
        "elu",
    )
    (arm,) = json.loads(vgt(*command).stdout)
    assert arm["configuration"]["optimiser"]["lr"] == picks["elu"].picked["optimiser.lr"]
    (arm,) = json.loads(vgt(*command, "--set", "optimiser.lr=7").stdout)
    assert arm["configuration"]["optimiser"]["lr"] == 7


@pytest.mark.slow
def test_failed_claim_makes_the_exit_code_1(vgt: Vgt, tmp_path: Path) -> None:
    """A claim whose settings were not searched on the data set."""
    folder = tmp_path / "experiments"
    (folder / "claims").mkdir(parents=True)
    (folder / "bases").symlink_to(EXPERIMENTS / "bases")
    (folder / "claims" / "late-layers-learn.yaml").write_text((CLAIMS_DIR / "late-layers-learn.yaml").read_text())
    done = vgt("reproduce", "--dataset", "digits", "--no-tracking", VGT_CLAIMS_DIR=str(folder / "claims"))
    assert done.returncode == 1
    assert "failed late-layers-learn: " in done.stdout
    assert "run `vgt tune late-layers-learn --dataset digits`" in done.stdout
