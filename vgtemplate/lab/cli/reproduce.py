"""`vgt reproduce`: run what is missing, judge, print, track."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich import progress
from rich.console import Console
from rich.markup import escape

from vgtemplate.cli.console import make_console, print_json
from vgtemplate.cli.send import Sender
from vgtemplate.config.errors import UserError
from vgtemplate.jobs.job import Job
from vgtemplate.lab.claim import ClaimConfig, Setting
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli import complete
from vgtemplate.lab.cli.budget import DURATION, split_by_budget
from vgtemplate.lab.cli.cluster import cluster_options, print_plan
from vgtemplate.lab.cli.decide import decide
from vgtemplate.lab.cli.judging import Judging
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.cli.report import track, write
from vgtemplate.lab.cli.send import describe_result, planned_runs
from vgtemplate.lab.cli.tables import coloured, print_details, verdict_line, verdict_table
from vgtemplate.lab.counts import count_outcomes
from vgtemplate.lab.gallery import plan_gallery, read_gallery
from vgtemplate.lab.judge import FULL_SEEDS
from vgtemplate.lab.plan import Plan, Task, choose_dataset, missing_tasks, plan_claims, select_claims
from vgtemplate.lab.result import FAILED, Result
from vgtemplate.lab.worker import How
from vgtemplate.records import make_results_folder
from vgtemplate.text import describe_seeds, write_count
from vgtemplate.tracking.outbox import Run


@click.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...", shell_complete=complete.claims)
@click.option("--article", metavar="KEY", shell_complete=complete.articles, help="Only the claims of one article.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0, 10**9), default=0, show_default=True, help="The first of them.")
@complete.dataset_option
@click.option("--setting", type=click.Choice(["quick", "full", "short"]), default="quick", show_default=True)
@click.option("--budget", type=DURATION, default=None, metavar="TIME", help="E.g. 20m: judge what fits, say what not.")
@click.option("--cifar", type=click.Path(path_type=Path), metavar="FOLDER", help="Pictures to take as CIFAR-10.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: the cores]")
@cluster_options
@click.option("--cluster-plan", type=click.IntRange(min=1), metavar="N", help="Only say how long N workers take.")
@click.option("--decide", "goes_on", is_flag=True, help="Go on to 30 and 100 seeds with the claims that are open.")
@click.option("--fresh", is_flag=True, help="Run also what has a record.")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--tracking/--no-tracking", default=True, help="Send the runs to MLflow.  [default: tracking]")
@click.option("--details", is_flag=True, help="Print every part and the literature.  [default: of named claims]")
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
    how: How,
    cluster_plan: int | None,
    goes_on: bool,
    fresh: bool,
    tracking: bool,
    details: bool,
    as_json: bool,
) -> None:
    """Judge the claims (all, or those named); print each verdict as soon as its arms are done, and all at the end.

    A record that exists is not trained again: an interrupted call goes on where it stopped. Ten seeds are the first of
    three looks. Where they disagree, a claim is open, and --decide goes on with it, and with nothing else, to 30 and
    then to 100 seeds; what is open even then depends on the seed.

    The quick setting is that of the register (10,000 images, 500 steps); the full one takes 60,000 images and five
    epochs, and covers more claims. With --budget those claims that do not fit in the full setting are judged in a short
    one, on three seeds, or left out; what will be run is said first.
    """
    _check(budget, setting, goes_on, seeds)
    started, folder, how = time.perf_counter(), claims_dir(), how._replace(fresh=fresh)
    chosen = select_claims(claims := load_claims(folder), ids, article, setting)
    name, seed_list = choose_dataset(chosen, folder, dataset, how.root), range(first_seed, first_seed + seeds)
    results, console = make_results_folder(how.results), make_console(stderr=as_json)
    plan = plan_claims(chosen, folder, name, seed_list, how.root, setting=setting, cifar=cifar)
    console.print(f"data set: [bold]{name}[/bold]{' (auto)' if dataset == 'auto' else ''}, {_describe([plan])}")
    whole = not ids and article is None
    extra = plan_gallery(read_gallery(folder), folder, plan, how.root) if whole and budget is None else []
    plans = [plan] if budget is None else split_by_budget(plan, how, cifar, budget, console)
    if cluster_plan is not None:
        print_plan(_missing(plans, extra, how), cluster_plan, console)
        return
    sender = Sender(results, tracking, lambda text: console.print(escape(text)))
    judged = _run(plans, extra, how, sender, console)
    judged, failures = decide(plan, judged, how, sender, console) if goes_on else (judged, {})
    _show(judged, f"on {name}, {_describe(plans)}", as_json, details or bool(ids), console)
    counts = count_outcomes([result.outcome for result in judged])
    console.print(f"{counts}, in {time.perf_counter() - started:.1f} s; records in {escape(str(results))}/")
    if whole:
        _report(plan, claims, judged, results, tracking, console)
    if failures or any(result.outcome == FAILED for result in judged):
        raise click.exceptions.Exit(1)


def _check(budget: float | None, setting: Setting, goes_on: bool, seeds: int) -> None:
    """Raise UserError for options that do not go together."""
    if budget is not None and setting != "full":
        raise UserError("--budget goes with --setting full: the quick setting has nothing shorter to fall back on")
    if goes_on and (budget is not None or seeds != FULL_SEEDS):
        raise UserError(f"--decide goes on from {FULL_SEEDS} seeds: it goes neither with --budget nor with --seeds")


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


def _show(judged: Sequence[Result], where: str, as_json: bool, details: bool, console: Console) -> None:
    """Print the verdicts, and, last, what has none."""
    if as_json:
        print_json([result.to_json() for result in judged])
    elif not details:
        title = f"{write_count(len(judged), 'claim')} {where}"
        console.print(verdict_table(judged, title, console.width))
    for result in judged if details and not as_json else ():
        print_details(result, console)
    for result in (result for result in judged if result.verdict is None):
        console.print(f"{coloured(result.outcome)} {escape(f'{result.claim.id}: {result.failure}')}", soft_wrap=True)


def _missing(plans: Sequence[Plan], extra: Sequence[Job], how: How) -> list[Task]:
    """Return what is to be run."""
    # With few seeds an arm can have one key in both settings.
    jobs = [*{job.key: job for plan in plans for job in plan.jobs.values()}.values(), *extra]
    return jobs if how.fresh else missing_tasks(jobs, how.results)


def _run(plans: Sequence[Plan], extra: Sequence[Job], how: How, sender: Sender, console: Console) -> list[Result]:
    """Run what is missing, `extra` jobs too; while that goes on, judge what can be judged and send runs to MLflow."""
    todo = _missing(plans, extra, how)
    runs = [run for plan in plans for run in planned_runs(plan)]
    runs += [Run(job.experiment, job.name, job.key) for job in extra]

    def say(result: Result) -> None:
        # Where nothing has to be waited for, the table at the end says it all.
        if todo:
            console.print(verdict_line(result), soft_wrap=True, highlight=False)

    def ended(job: Task, failure: str | None) -> None:
        judging.end(job.key, failure)
        for run in runs:
            if run.key == job.key and failure is None:
                sender.send(run)

    sender.plan(run for run in runs if run.key in {job.key for job in todo})
    judging = Judging(plans, how.results, {job.key for job in todo}, say)
    judging.judge()
    failures = run_with_progress(todo, how, console, ended)
    left = [run for run in sender.pending(runs) if run.key not in failures]
    for run in progress.track(left, "sending to MLflow", console=console, transient=True, disable=not left):
        sender.send(run)
    for result in judging.results():
        sender.send(describe_result(result, how.results))
    return judging.results()
