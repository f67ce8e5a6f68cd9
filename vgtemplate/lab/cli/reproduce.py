"""`vgt reproduce`: run what is missing, judge, print, track."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import progress
from rich.markup import escape

from vgtemplate.cli.console import make_console
from vgtemplate.cli.paths import results_dir
from vgtemplate.cli.send import Sender
from vgtemplate.config.errors import UserError
from vgtemplate.data import files
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.budget import DURATION, split_by_budget
from vgtemplate.lab.cli.paths import claims_dir, gallery_experiment
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.cli.report import track, write
from vgtemplate.lab.cli.send import describe_result, planned_runs
from vgtemplate.lab.cli.tables import verdict_table
from vgtemplate.lab.plan import missing_tasks, plan_beside, plan_claims, select_claims
from vgtemplate.lab.result import judge_all
from vgtemplate.lab.workers import num_cores
from vgtemplate.records import damaged, make_results_folder
from vgtemplate.text import describe_seeds
from vgtemplate.tracking.outbox import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from vgtemplate.lab.claim import ClaimConfig, Setting
    from vgtemplate.lab.plan import Plan, Task
    from vgtemplate.lab.result import Result


@click.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...")
@click.option("--article", metavar="KEY", help="Only the claims of one article.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0, 10**9), default=0, show_default=True, help="The first of them.")
@click.option("--dataset", default="auto", show_default=True, metavar="NAME", help="auto: mnist, else digits.")
@click.option("--setting", type=click.Choice(["quick", "full", "short"]), default="quick", show_default=True)
@click.option("--budget", type=DURATION, default=None, metavar="TIME", help="E.g. 20m: judge what fits, say what not.")
@click.option("--cifar", type=click.Path(path_type=Path), metavar="FOLDER", help="Pictures to take as CIFAR-10.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: the cores]")
@click.option("--fresh", is_flag=True, help="Run also what has a record.")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--tracking/--no-tracking", default=True, help="Send the runs to MLflow.  [default: tracking]")
@click.option("--json", "as_json", is_flag=True, help="Print a list of results instead of a table.")
def reproduce(
    ids: tuple[str, ...],
    article: str | None,
    seeds: int,
    first_seed: int,
    dataset: str,
    setting: Setting,
    budget: float | None,
    cifar: Path | None,
    jobs: int | None,
    fresh: bool,
    accelerator: str,
    tracking: bool,
    as_json: bool,
) -> None:
    """Judge the claims (all, or those named) and print each verdict with its evidence.

    A record that exists is not trained again: an interrupted call goes on where it stopped.

    The quick setting is that of the register (10,000 images, 500 steps); the full one takes 60,000 images and five
    epochs, and covers three claims more. With --budget those claims that do not fit in the full setting are judged in a
    short one, on three seeds, or left out; what will be run is said first.
    """

    if budget is not None and setting != "full":
        raise UserError("--budget goes with --setting full: the quick setting has nothing shorter to fall back on")
    started = time.perf_counter()
    folder = claims_dir()
    claims = load_claims(folder)
    chosen = select_claims(claims, ids, article, setting)
    root = files.data_root()
    seed_list = range(first_seed, first_seed + seeds)
    name = files.resolve(dataset, root)
    results = make_results_folder(results_dir())
    num_workers = jobs or num_cores()
    plan = plan_claims(chosen, folder, name, seed_list, root, setting=setting, cifar=cifar)
    console = make_console(stderr=as_json)
    console.print(f"data set: [bold]{name}[/bold]{' (auto)' if dataset == 'auto' else ''}, {_describe([plan])}")
    whole = not ids and article is None
    extra = plan_beside(gallery_experiment(), plan, root) if whole and budget is None else []
    plans = [plan]
    if budget is not None:
        plans = split_by_budget(plan, results, root, cifar, budget, num_workers, fresh, console)
    judged = _run(plans, extra, results, root, num_workers, fresh, accelerator, tracking, console)
    if as_json:
        click.echo(json.dumps([result.to_json() for result in judged], indent=1, allow_nan=False))
    else:
        title = f"{len(judged)} claims on {name}, {_describe(plans)}"
        console.print(verdict_table(judged, title, all_parts=bool(ids)))
    for result in judged:
        if result.verdict is None:
            console.print(f"[red]failed[/red] {escape(f'{result.claim.id}: {result.failure}')}", soft_wrap=True)
    console.print(f"{summary(judged)}, in {time.perf_counter() - started:.1f} s; records in {escape(str(results))}/")
    if whole:
        _report(plan, claims, judged, results, tracking, console)
    if any(result.verdict is None for result in judged):
        raise click.exceptions.Exit(1)


def _describe(plans: Sequence[Plan]) -> str:
    """Say on which seeds, and in which setting if it is not the usual one, plans are judged."""

    if [plan.setting for plan in plans] == ["quick"]:
        return describe_seeds(plans[0].seeds)
    words = (f"{len(plan.claims)} in the {plan.setting} setting ({describe_seeds(plan.seeds)})" for plan in plans)
    return ", ".join(words) or "none of which there is time for"


def _report(
    plan: Plan,
    claims: Mapping[str, ClaimConfig],
    judged: Sequence[Result],
    results: Path,
    tracking: bool,
    console: Console,
) -> None:
    """Write the report of all claims and send it."""

    with console.status("writing the report"):
        path = write(plan, claims, judged, results)
        if tracking:
            track(results, lambda text: console.print(escape(text)))
    console.print(escape(f"report: {path}"), soft_wrap=True)


def summary(results: Sequence[Result]) -> str:
    """Count the verdicts in one line."""
    verdicts = [result.verdict.verdict if result.verdict else "failed" for result in results]
    kinds = ("confirmed", "refuted", "mixed", "inconclusive", "failed")
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds if kind in verdicts)


def _run(
    plans: Sequence[Plan],
    extra: Sequence[Task],
    results: Path,
    root: Path,
    num_workers: int,
    fresh: bool,
    accelerator: str,
    tracking: bool,
    console: Console,
) -> list[Result]:
    """Run what is missing, `extra` jobs too, sending each to MLflow while the workers go on; then judge."""

    # With few seeds an arm can have one key in both settings.
    jobs = [*{job.key: job for plan in plans for job in plan.jobs.values()}.values(), *extra]
    todo = jobs if fresh else missing_tasks(jobs, results)
    for job in todo:
        if not fresh and damaged(results, job.key):
            text = f"{job.experiment}: {job.name}: {results}/{job.key} is incomplete or altered; it is run again"
            console.print(escape(text), soft_wrap=True)
    sender = Sender(results, tracking, lambda text: console.print(escape(text)))
    runs = [
        *(run for plan in plans for run in planned_runs(plan)),
        *(Run(job.experiment, job.name, job.key) for job in extra),
    ]

    def send(job: Task) -> None:
        for run in runs:
            if run.key == job.key:
                sender.send(run)

    failures = run_with_progress(todo, results, root, num_workers, accelerator, console, send, fresh)
    judged = [result for plan in plans for result in judge_all(plan, results, failures)]
    left = [run for run in sender.pending(runs) if run.key not in failures]
    for run in progress.track(left, "sending to MLflow", console=console, transient=True, disable=not left):
        sender.send(run)
    for result in judged:
        sender.send_description(describe_result(result))
    return judged
