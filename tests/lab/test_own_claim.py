"""A claim of one's own is one YAML file and nothing else: no list or count has to change. Tried as a user would."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.processes import run_vgt
from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.claims import load_claims

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CLAIM = """
id: own-claim
articles: []
statement: A network of two narrow layers learns something of the digits.
kind: training
base: standard
arms:
  narrow: {model: {depth: 2, width: 16}, training: {steps: 100}}
parts: [{metric: test_accuracy, arms: [narrow], threshold: "> 0.2"}]
literature: none
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder: the experiments that are there, and one claim more."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(EXPERIMENTS, folder / "experiments")
    (folder / "experiments" / "claims" / "own-claim.yaml").write_text(CLAIM)
    return folder


def vgt(folder: Path, *arguments: str) -> str:
    """Run a command in the project's folder, where it must succeed; return what it prints."""
    gone = ("VGT_CLAIMS_DIR", "VGT_RESULTS_DIR", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    ended = run_vgt(*arguments, cwd=folder, environment=environment | {"OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def judged(folder: Path) -> Path:
    """The folder once the claim was judged."""
    run = ("--dataset", "digits", "--seeds", "2", "--no-tracking")
    (result,) = json.loads(vgt(folder, "reproduce", "own-claim", *run, "--jobs", "1", "--json"))
    assert (result["id"], result["articles"], result["verdict"]) == ("own-claim", [], "confirmed")
    assert len(result["effects"]) == 2
    return folder


def test_it_is_listed_with_the_others_and_without_an_article(folder: Path) -> None:
    listed = {claim["id"]: claim["articles"] for claim in json.loads(vgt(folder, "claims", "--json"))}
    assert listed.pop("own-claim") == []
    assert set(listed) == set(load_claims(EXPERIMENTS / "claims"))


def test_the_report_shows_it_as_ones_own(judged: Path) -> None:
    vgt(judged, "report", "--dataset", "digits", "--seeds", "2", "--no-tracking")
    page = (judged / "results" / "report" / "index.html").read_text()
    (row,) = re.findall(r'<tr data-claim="own-claim".*?</tr>', page, re.DOTALL)
    (section,) = re.findall(r'<section class="claim" id="own-claim".*?</section>', page, re.DOTALL)
    for text in (row, section):
        assert "A network of two narrow layers learns something of the digits." in text
        assert "confirmed" in text
        assert not [name for row in ARTICLES.values() for name in (row.name, row.title) if name in text]
    assert "our own" in row
    assert "no article makes this claim" in section


def test_its_arms_train_on_their_own(folder: Path) -> None:
    run = ("--dataset", "digits", "--seeds", "1", "--no-tracking", "--set", "training.steps=5")
    trained = vgt(folder, "train", "experiments/claims/own-claim.yaml", *run)
    assert "narrow" in trained
