"""`vgt stability`: judge the claims again with one thing changed, and name every verdict that changes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console, Group
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import UserError
from vgtemplate.data import files
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli import complete
from vgtemplate.lab.cli.cluster import cluster_options
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.cli.tables import coloured
from vgtemplate.lab.plan import Plan, choose_dataset, missing_tasks, select_claims
from vgtemplate.lab.result import Result, judge_all
from vgtemplate.lab.stability import (
    AXES,
    DATASETS,
    Outcomes,
    Variant,
    add_machines,
    add_outcomes,
    is_stable,
    list_variants,
    plan_variant,
    write_outcomes,
)
from vgtemplate.lab.worker import How
from vgtemplate.records import make_results_folder
from vgtemplate.text import read_number, write_count, write_number


@click.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...", shell_complete=complete.claims)
@click.option("--axes", default=",".join(AXES), show_default=True, metavar="NAMES", help="What to change, by commas.")
@click.option("--sets", type=click.IntRange(1, 100), default=3, show_default=True, help="Number of sets of seeds.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds per set.")
@complete.dataset_option
@click.option("--cifar", type=click.Path(path_type=Path), metavar="FOLDER", help="Pictures to take as CIFAR-10.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: the cores]")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes of every variant instead of a table.")
def stability(
    ids: tuple[str, ...],
    axes: str,
    sets: int,
    seeds: int,
    dataset: str,
    cifar: Path | None,
    how: How,
    as_json: bool,
) -> None:
    """Judge the claims that have seeds (all, or those named) again, with one thing changed at a time.

    seeds: 100 to 109, 200 to 209. threads: 1 and 2. precision: float32 and float64. width: every layer half and twice
    as wide. dataset: MNIST, the digits, CIFAR-10, those that are there. machine: what is kept in docs/verdicts. What
    is trained for other axes than seeds are the claims whose arms take about ten seconds at most.

    Every verdict is that of the first look, so that an open one contradicts nothing. Prints each claim whose verdict
    changes; the report says so as well. Records are kept: the first set is that of `vgt reproduce`.
    """
    chosen = [check_name("axis", axis.strip(), AXES) for axis in axes.split(",")]
    claims = select_claims(load_claims(claims_dir()), ids)
    if all(claim.check is not None for claim in claims.values()):
        raise UserError(f"{', '.join(ids)}: exact and timing claims have no seeds that could be changed")
    root, console = how.root, make_console(stderr=as_json)
    results = make_results_folder(how.results)
    name = choose_dataset(claims, claims_dir(), dataset, root)
    variants = list_variants(sets, seeds, chosen, _other_datasets(name, root, cifar, console, "dataset" in chosen))
    outcomes: Outcomes = {}
    for threads in dict.fromkeys(variant.threads for variant in variants):
        group = [variant for variant in variants if variant.threads == threads]
        plans = [plan_variant(variant, claims, claims_dir(), name, root, cifar) for variant in group]
        for variant, found in zip(group, _judge(group, plans, how, console), strict=True):
            add_outcomes(outcomes, variant, found)
    labels = [variant.label for variant in variants]
    labels += add_machines(outcomes, name) if "machine" in chosen else []
    path = write_outcomes(results, name, outcomes)
    if as_json:
        print_json(outcomes)
    else:
        _show(outcomes, labels, name, console)
    console.print(f"outcomes in {path}", soft_wrap=True, markup=False)
    if any(entry["verdict"] == "failed" for variants in outcomes.values() for entry in variants.values()):
        raise click.exceptions.Exit(1)


def _other_datasets(name: str, root: Path, cifar: Path | None, console: Console, is_asked: bool) -> list[str]:
    """Return the data sets that are there beside the one at hand; say which are not. Nothing is fetched for this."""
    there = {each: files.is_present(each, root) or (each == "cifar10" and cifar is not None) for each in DATASETS}
    for missing in [each for each in DATASETS if is_asked and not there[each] and each != name]:
        remedy = f"vgt data fetch {missing}" + (", or --cifar FOLDER" if missing == "cifar10" else "")
        console.print(f"left out: data set {missing}, which is not there ({remedy})", soft_wrap=True)
    return [each for each in DATASETS if there[each] and each != name]


def _judge(variants: Sequence[Variant], plans: Sequence[Plan], how: How, console: Console) -> list[list[Result]]:
    """Run what the variants, all of one number of threads, lack, and judge each."""
    threads = variants[0].threads
    folder = make_results_folder(variants[0].results(how.results))
    jobs = {key: job for plan in plans for key, job in plan.jobs.items()}
    todo = missing_tasks(jobs.values(), folder)
    labels = ", ".join(variant.label for variant in variants)
    console.print(f"[bold]{labels}[/bold]: {write_count(len(jobs), 'arm')}, {len(todo)} to be trained")
    for variant, plan in zip(variants, plans, strict=True):
        if left := sorted(plan.failures.keys() - plan.claims.keys()):
            console.print(f"left out on {variant.label}: {', '.join(left)} ({plan.failures[left[0]]})", markup=False)
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
            console.print(escape(f"  {label}: {entry['verdict']}"))
            for part in entry["parts"]:
                console.print(escape(f"    {_describe(part)}"), soft_wrap=True)
    console.print(f"verdicts that change: {len(changed)} of {len(outcomes)} (effects: median \\[lowest, highest])")


def _describe(part: Mapping[str, str | int | float | None]) -> str:
    median, low, high = (write_number(read_number(part[key])) for key in ("median", "lowest", "highest"))
    count = f"{part['cleared']} of {part['count']}"
    return f"{part['title']}: {median} [{low}, {high}], to be {part['threshold']}: {count}"


def _table(outcomes: Outcomes, labels: Sequence[str], dataset: str, width: int) -> Group:
    """Return the table of verdicts, one row per claim and one column per variant; = stands for the first's verdict."""
    columns = [Column("claim", folds=True), *(Column(escape(label), rank) for rank, label in enumerate(labels))]
    rows = []
    for name, variants in outcomes.items():
        usual = variants[labels[0]]["verdict"]
        verdicts = [variants[label]["verdict"] if label in variants else "" for label in labels[1:]]
        cells = ["=" if verdict == usual else coloured(verdict) if verdict else "" for verdict in verdicts]
        rows.append([name if is_stable(variants) else f"[bold]{name}[/bold] *", coloured(usual), *cells])
    return make_table(f"verdicts on {dataset}", columns, rows, width)
