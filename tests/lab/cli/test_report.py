import html
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.report import report, track
from vgtemplate.lab.plan import plan_claims
from vgtemplate.lab.verdicts import FOLDER, Verdicts, write_verdicts
from vgtemplate.lab.worker import run_task
from vgtemplate.records import make_results_folder
from vgtemplate.tracking.outbox import (
    Description,
    experiment_address,
    find_report,
    find_store,
    mark_sent,
    missed,
    remember,
)

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
IDS = ("chain-rule-product", "two-layer-speed-gap")

pytestmark = pytest.mark.usefixtures("drawn_once")


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """A folder with one exact claim, one judged at initialisation, and one that was searched on other data only."""
    shutil.copytree(EXPERIMENTS / "bases", tmp_path / "bases")
    folder = tmp_path / "claims"
    folder.mkdir()
    for name in (*IDS, "selu-wins-dense", "gallery"):
        shutil.copy(EXPERIMENTS / "claims" / f"{name}.yaml", folder)
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(folder))
    return folder


def write(*arguments):
    done = CliRunner().invoke(report, ["--dataset", "digits", "--seeds", "2", "--no-tracking", *arguments])
    assert done.exit_code == 0, done.output
    path = Path(done.output.strip())
    return path, path.read_text()


def verdicts(source, claims):
    return {name: source.split(f'data-claim="{name}" data-verdict="')[1].split('"')[0] for name in claims}


@pytest.mark.slow
def test_without_records_every_claim_is_not_run_and_those_that_mlflow_has_are_linked(experiments, results):
    (experiments / "mine.yaml").write_text(
        "id: mine\narticles: []\nstatement: Identity keeps the gradient.\nkind: initial\nbase: initial\n"
        "arms: {it: {model: {activation: identity}}}\nliterature: Plain.\n"
        "parts: [{metric: abs_gradient_slope, arms: [it], threshold: '< 0.1'}]\n"
    )
    description = Description(IDS[1], "confirmed")
    remember(results, description)
    assert experiment_address(results, IDS[1]) is None
    mark_sent(results, description, "7")
    address = "http://127.0.0.1:5000/#/experiments/7/runs?viewStateShareKey=arms&workflowType=machine_learning"
    assert experiment_address(results, IDS[1]) == address
    path, source = write()
    assert path == results / "report" / "index.html"
    assert verdicts(source, [*IDS, "mine"]) == dict.fromkeys([*IDS, "mine"], "not run")
    assert "run <code>vgt reproduce two-layer-speed-gap</code>" in source
    assert "were not searched on digits yet" in source
    assert 'data-articles="own"' in source
    assert f'href="{html.escape(address)}"' in source


@pytest.mark.slow
def test_what_has_records_is_judged_and_nothing_is_trained(experiments, results):
    claims = {name: claim for name, claim in load_claims(experiments).items() if name in IDS}
    plan = plan_claims(claims, experiments, "digits", range(2), results)
    make_results_folder(results)
    for job in plan.jobs.values():
        run_task(job, results, results, "cpu")
    before = {path.name for path in results.iterdir()}
    _, source = write()
    assert verdicts(source, IDS) == dict.fromkeys(IDS, "confirmed")
    assert {path.name for path in results.iterdir()} - before == {"report"}
    assert write()[1] == source


def test_a_server_is_linked_without_its_password(results, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@example.org/mlflow/")
    description = Description("claim", "")
    mark_sent(results, description, "7")
    remember(results, description)
    mark_sent(results, description, "7")
    address = experiment_address(results, "claim")
    assert address is not None
    assert address.startswith("https://example.org/mlflow/#/experiments/7/")


@pytest.mark.slow
def test_a_report_is_kept_once_and_a_changed_one_again(results):
    from mlflow import MlflowClient

    said = []
    page = results / "report" / "index.html"
    page.parent.mkdir(parents=True)
    for text in ("first", "first", "second", "first"):
        page.write_text(text)
        track(results, said.append)
    assert said == []
    client = MlflowClient(find_store(results).uri)
    experiment = client.get_experiment_by_name("report")
    runs = client.search_runs([experiment.experiment_id])
    kept = {(Path(run.info.artifact_uri.removeprefix("file://")) / "index.html").read_text() for run in runs}
    assert (len(runs), kept) == (2, {"first", "second"})
    assert missed(results) == []


def test_a_report_that_could_not_be_sent_is_said_in_a_line_and_left_for_sync(results, monkeypatch):
    page = results / "report" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("report")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said = []
    track(results, said.append)
    (line,) = said
    assert "cannot be reached" in line
    assert "\n" not in line
    assert missed(results) == [find_report(results)]


def test_the_report_loads_neither_torch_nor_mlflow_until_it_is_called():
    code = "import sys, vgtemplate.lab.cli.report; sys.exit(bool({'torch', 'mlflow', 'matplotlib'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_unchanged_report_is_not_drawn_again_and_a_changed_text_is_shown(experiments, results, monkeypatch):
    path, _ = write()
    gallery = path.with_name("gallery.html")
    before = path.stat().st_mtime_ns, gallery.stat().st_mtime_ns
    write()
    assert (path.stat().st_mtime_ns, gallery.stat().st_mtime_ns) == before
    claim = experiments / "two-layer-speed-gap.yaml"
    claim.write_text(claim.read_text().replace("statement: >-\n", "statement: >-\n  In other words: "))
    assert "In other words" in write()[1]
    gallery.unlink()
    write()
    assert gallery.exists()
    # A file of verdicts is added in the working folder.
    exact = next(name for name, claim in load_claims(experiments).items() if claim.check)
    committed = json.loads(next((EXPERIMENTS.parent / "docs/verdicts").glob("mnist-*.json")).read_text())
    entry = committed["claims"][next(name for name in committed["claims"])]
    machine = committed["machine"] | {"model": "A machine elsewhere", "capability": ""}
    monkeypatch.chdir(experiments.parent)
    write_verdicts(FOLDER, Verdicts.model_validate(committed | {"machine": machine, "claims": {exact: entry}}))
    assert "A machine elsewhere" in write()[1]
