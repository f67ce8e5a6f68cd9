"""`vgt stability`: judge the claims on other seeds, threads and precisions, and name every verdict that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.console import Console, Group
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.data import files
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.cli.tables import coloured
from vgtemplate.lab.plan import missing_tasks, select_claims
from vgtemplate.lab.result import Result, judge_all
from vgtemplate.lab.stability import (
    Outcomes,
    Variant,
    add_outcomes,
    is_stable,
    list_variants,
    plan_variant,
    write_outcomes,
)
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import num_cores
from vgtemplate.records import make_results_folder
from vgtemplate.text import read_number, write_spread


@click.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...")
@click.option("--sets", type=click.IntRange(1, 100), default=3, show_default=True, help="Number of sets of seeds.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds per set.")
@click.option("--dataset", default="auto", show_default=True, metavar="NAME", help="auto: mnist, else digits.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: the cores]")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes of every variant instead of a table.")
def stability(
    ids: tuple[str, ...], sets: int, seeds: int, dataset: str, jobs: int | None, accelerator: str, as_json: bool
) -> None:
    """Judge the claims that have seeds (all, or those named) again, on seeds 0 to 9, 100 to 109, 200 to 209.

    Claims whose arms take about ten seconds at most are judged in both precisions and on 1 and 2 threads too. Prints
    each claim whose verdict changes; the report says so as well. Records are kept: the first set is that of
    `vgt reproduce`.
    """
    claims = select_claims(load_claims(claims_dir()), ids)
    if all(claim.check is not None for claim in claims.values()):
        raise UserError(f"{', '.join(ids)}: exact and timing claims have no seeds that could be changed")
    root, results, console = files.data_root(), make_results_folder(results_dir()), make_console(stderr=as_json)
    name, how = files.resolve(dataset, root), How(results, root, jobs or num_cores(), accelerator)
    outcomes: Outcomes = {}
    variants = list_variants(sets, seeds)
    for threads in dict.fromkeys(variant.threads for variant in variants):
        group = [variant for variant in variants if variant.threads == threads]
        judged = _judge(group, claims, name, how, console)
        for variant, found in zip(group, judged, strict=True):
            add_outcomes(outcomes, variant, found)
    path = write_outcomes(results, name, outcomes)
    if as_json:
        print_json(outcomes)
    else:
        _show(outcomes, [variant.label for variant in variants], name, console)
    console.print(f"outcomes in {path}", soft_wrap=True, markup=False)
    if any(entry["verdict"] == "failed" for variants in outcomes.values() for entry in variants.values()):
        raise click.exceptions.Exit(1)


def _judge(
    variants: list[Variant], claims: Mapping[str, ClaimConfig], dataset: str, how: How, console: Console
) -> list[list[Result]]:
    """Run what the variants, all of one number of threads, lack, and judge each."""
    threads = variants[0].threads
    folder = make_results_folder(variants[0].results(how.results))
    plans = [plan_variant(variant, claims, claims_dir(), dataset, how.root) for variant in variants]
    jobs = {key: job for plan in plans for key, job in plan.jobs.items()}
    todo = missing_tasks(jobs.values(), folder)
    labels = ", ".join(variant.label for variant in variants)
    console.print(f"[bold]{labels}[/bold]: {len(jobs)} arms, {len(todo)} of them to be trained")
    num_workers = max(1, how.num_workers // (threads or 1))
    how = how._replace(results=folder, num_workers=num_workers, threads=threads)
    failures = run_with_progress(todo, how, console)
    return [judge_all(plan, folder, failures) for plan in plans]


def _show(outcomes: Outcomes, labels: Sequence[str], dataset: str, console: Console) -> None:
    console.print(_table(outcomes, labels, dataset, console.width))
    changed = {name: variants for name, variants in outcomes.items() if not is_stable(variants)}
    for name, variants in changed.items():
        console.print(f"[bold]{name}[/bold]")
        for label, entry in variants.items():
            console.print(f"  {label}: {entry['verdict']}")
            for part in entry["parts"]:
                effect = write_spread([read_number(part[key]) for key in ("lowest", "median", "highest")])
                line = f"    {part['title']}: {effect}, to be {part['threshold']}: {part['cleared']} of {part['count']}"
                console.print(escape(line), soft_wrap=True)
    console.print(f"{len(changed)} of {len(outcomes)} verdicts change (effects: median \\[lowest, highest])")


def _table(outcomes: Outcomes, labels: Sequence[str], dataset: str, width: int) -> Group:
    """Return the table of verdicts, one row per claim and one column per variant; = stands for the first's verdict."""
    columns = [Column("claim", folds=True), *(Column(label, rank) for rank, label in enumerate(labels))]
    rows = []
    for name, variants in outcomes.items():
        usual = variants[labels[0]]["verdict"]
        verdicts = [variants[label]["verdict"] if label in variants else "" for label in labels[1:]]
        cells = ["=" if verdict == usual else coloured(verdict) if verdict else "" for verdict in verdicts]
        rows.append([name if is_stable(variants) else f"[bold]{name}[/bold] *", coloured(usual), *cells])
    return make_table(f"verdicts on {dataset}", columns, rows, width)
