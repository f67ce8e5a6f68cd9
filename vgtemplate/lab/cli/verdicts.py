"""`vgt verdicts`: keep a run's verdicts in the repository, compare them with those of other machines, tabulate them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json, say
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.data import files
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli import complete
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.cli.tables import coloured
from vgtemplate.lab.gather import gather, is_final
from vgtemplate.lab.judge import FULL_SEEDS
from vgtemplate.lab.plan import Plan, choose_dataset, plan_claims
from vgtemplate.lab.readme_table import fill, write_table
from vgtemplate.lab.result import Result, judge_all, unless_not_run
from vgtemplate.lab.verdicts import (
    FOLDER,
    Verdicts,
    committed,
    differs,
    disagreements,
    read_verdicts,
    verdicts_dir,
    write_verdicts,
)
from vgtemplate.text import write_count

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def verdicts() -> None:
    """Keep the verdicts of a run, DATASET-MACHINE.json, and compare them with those of other machines."""


@verdicts.command()
@complete.dataset_option
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help=f"[default: {FOLDER} of a checkout]")
def save(dataset: str, output: Path | None) -> None:
    """Write the verdicts of every claim that was judged to its end, from the records; train nothing."""
    folder = output or _folder_of_checkout()
    plan, judged = _judge(dataset)
    found = gather(plan, judged, results_dir())
    number, networks = write_count(len(found.claims), "verdict"), write_count(found.networks, "network")
    say(f"{number}, {networks}: {write_verdicts(folder, found)}")
    if left := [f"{result.claim.id} ({result.outcome})" for result in judged if not is_final(result)]:
        say(f"left out: {', '.join(left)}", err=True)


@verdicts.command()
@click.argument("paths", nargs=-1, type=_FILE, metavar="[FILE]...")
@complete.dataset_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def compare(paths: tuple[Path, ...], dataset: str, as_json: bool) -> None:
    """Hold the run at hand against committed verdicts (those of its data set, or the files named), claim by claim."""
    rest = [read_verdicts(path) for path in paths]
    plan, judged = _judge(rest[0].dataset if rest and dataset == "auto" else dataset)
    rest = rest or committed(plan.dataset)
    if not rest:
        raise UserError(f"{verdicts_dir()}: no verdicts on {plan.dataset} to compare with; `vgt verdicts save`")
    here = gather(plan, judged, results_dir())
    if as_json:
        print_json([_plain(result, rest) for result in judged])
        return
    columns = [Column("claim", folds=True), Column("here")]
    columns += [Column(escape(_heading(each, here)), rank, folds=True) for rank, each in enumerate(rest)]
    console = make_console()
    rows = [[result.claim.id, coloured(result.outcome), *_cells(result, rest)] for result in judged]
    title = escape(f"here: {here.machine.title}, on {here.dataset}; = stands for the same verdict")
    console.print(make_table(title, columns, rows, console.width))
    found = disagreements(here, rest)
    for name, different in found.items():
        console.print(f"[bold]{name}[/bold]")
        for each in (here, *different):
            entry = each.claims[name]
            console.print(f"  {escape(_heading(each, here))}: {coloured(entry.verdict)}", soft_wrap=True)
            for part, count in zip(entry.parts, entry.counts, strict=True):
                console.print(f"    {escape(f'{part.title}, to be {part.threshold}: {count}')}", soft_wrap=True)
    shared = sum(any(name in each.claims for each in rest) for name in here.claims)
    console.print(f"verdicts that differ: {len(found)} of {shared}")


def _plain(result: Result, rest: Sequence[Verdicts]) -> dict[str, object]:
    """Return a claim's verdict here and in each of the others, None where that has none."""
    entries = {each.machine.title: each.claims.get(result.claim.id) for each in rest}
    others = {machine: entry and entry.verdict for machine, entry in entries.items()}
    return {"claim": result.claim.id, "here": result.outcome, "others": others}


def _heading(each: Verdicts, here: Verdicts) -> str:
    dataset = "" if each.dataset == here.dataset else f", {each.dataset}"
    return "here" if each is here else f"{each.machine.title}{dataset} ({each.date})"


def _cells(result: Result, rest: Sequence[Verdicts]) -> list[str]:
    """Return what each of the others says of a claim."""
    cells = []
    for each in rest:
        entry = each.claims.get(result.claim.id)
        mark = " *" if entry and differs(result.outcome, entry.verdict) else ""
        word = "-" if entry is None else coloured(entry.verdict)
        cells.append("=" if entry and entry.verdict == result.outcome else word + mark)
    return cells


@verdicts.command()
@click.argument("path", type=_FILE, metavar="FILE")
def table(path: Path) -> None:
    """Print committed verdicts as Markdown."""
    say(write_table(read_verdicts(path)), nl=False)


@verdicts.command()
@click.argument("path", type=_FILE, metavar="FILE")
@click.argument("picture", type=_FILE, metavar="PICTURE")
def draw(path: Path, picture: Path) -> None:
    """Draw committed verdicts: every claim by its name, in the colour and with the sign of its verdict."""
    from vgtemplate.figures.theory import write_figure
    from vgtemplate.lab.verdict_picture import draw_verdicts

    write_figure(picture, draw_verdicts(read_verdicts(path)))
    say(f"drawn: {picture}")


@verdicts.command("fill")
@click.argument("path", type=_FILE, metavar="TEXT")
def fill_text(path: Path) -> None:
    """Write the table between the markers of a Markdown file, from the verdicts that the first marker names."""
    say(f"{path}: {'written anew' if fill(path) else 'nothing has changed'}")


def _folder_of_checkout() -> Path:
    if not any(Path(name).exists() for name in (".git", "pyproject.toml")):
        raise UserError("this folder is no checkout of a project: say with --output where the verdicts are to be kept")
    return FOLDER


def _judge(dataset: str) -> tuple[Plan, list[Result]]:
    """Judge every claim from the records, as the report does."""
    folder, root = claims_dir(), files.data_root()
    claims = load_claims(folder)
    name = choose_dataset(claims, folder, dataset, root)
    plan = plan_claims(claims, folder, name, range(FULL_SEEDS), root)
    return plan, [unless_not_run(result, plan) for result in judge_all(plan, results_dir(), {})]
