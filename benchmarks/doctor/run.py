"""Run the doctor over the zoo and print how often it is right, and how often it cries wolf."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.doctor import zoo
from benchmarks.doctor.case import Case
from benchmarks.doctor.peers import PEERS
from benchmarks.doctor.tally import Tally, tally
from benchmarks.doctor.workers import SEED, examine_all
from vgtemplate.atomic import write_whole

WHICH = (*zoo.HALVES, zoo.SECOND, zoo.THIRD, zoo.FOURTH, zoo.FIFTH, zoo.SIXTH)


def print_tally(console: Console, title: str, counts: Tally) -> None:
    """Print the totals, per code, per family, what was missed and where it cried wolf."""
    console.rule(title)
    console.print(f"recall (any finding)  {counts.recall}")
    console.print(f"right code            {counts.right}; as the first finding {counts.first}")
    console.print(f"false positives       {counts.false}")
    codes = Table("code", "any finding", "right code", box=box.SIMPLE)
    for code, (found, right) in counts.per_code.items():
        codes.add_row(code, str(found), str(right))
    families = Table("family of healthy ones", "false positives", box=box.SIMPLE)
    for family, false in counts.per_family.items():
        families.add_row(family, str(false))
    console.print(codes, families)


def print_confusion(console: Console, counts: Tally) -> None:
    """Print what was said of each label, the most frequent first."""
    table = Table("injected", "said (count)", box=box.SIMPLE)
    for label, said in sorted(counts.confusion.items()):
        ordered = sorted(said.items(), key=lambda item: (-item[1], item[0]))
        table.add_row(label, ", ".join(f"{code} {count}" for code, count in ordered))
    console.print(table)
    for name, label, said in counts.misses:
        console.print(f"missed       {name}: {label}, said {', '.join(said) or 'nothing'}")
    for name, said in counts.alarms:
        console.print(f"false alarm  {name}: {', '.join(said)}")


def print_peers(console: Console, counts: dict[str, Tally]) -> None:
    """Print the same figures of the published rules."""
    table = Table("rules", "recall", "right code", "false positives", box=box.SIMPLE)
    for peer, each in counts.items():
        table.add_row(peer, str(each.recall), str(each.right), str(each.false))
    console.print(table)


def as_json(
    cases: Sequence[Case], results: dict[str, dict[str, Any]], ours: Tally, theirs: dict[str, Tally], which: str | None
) -> bytes:
    """Return everything as JSON; the seconds are left out, so that two runs give the same file."""
    rows = [
        {"name": case.name, "kind": case.kind, "label": case.label, "family": case.family, "half": zoo.half(case.name)}
        | {"also": sorted(case.also)}
        | {key: value for key, value in results[case.name].items() if key != "seconds"}
        for case in cases
    ]
    content = {
        "half": which,
        "seed": SEED,
        "ours": ours.to_json(),
        "peers": {name: each.to_json() for name, each in theirs.items()},
        "cases": rows,
    }
    lines = ",\n".join(json.dumps(row) for row in content.pop("cases"))  # type: ignore[union-attr]
    head = json.dumps(content, indent=1).removesuffix("\n}")
    return f'{head},\n "cases": [\n{lines}\n ]\n}}\n'.encode()


@click.command()
@click.option("--half", "which", type=click.Choice([*WHICH, "both"]), default="calibration", show_default=True)
@click.option("--only", default="", help="Beginnings of names, with commas between.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--peers", "with_peers", is_flag=True, help="Also the published rules, on the same cases.")
@click.option("--json", "path", type=click.Path(path_type=Path))
def main(which: str, only: str, jobs: int, with_peers: bool, path: Path | None) -> None:
    """Run the doctor beside each training of one half of the zoo, of both, or of a later zoo, and count."""
    chosen = None if which == "both" else which
    starts = [name for name in only.split(",") if name]
    cases = [case for half in ([which] if chosen else zoo.HALVES) for case in zoo.cases(half, starts)]
    console = Console(width=140, soft_wrap=True)

    def tell(case: Case, result: dict[str, Any]) -> None:
        said = result.get("error") or ", ".join(result["codes"]) or "nothing"
        click.echo(f"{case.name}: {case.label} | {said} | {result.get('seconds', 0.0):.1f} s", err=True)

    results = examine_all(cases, jobs, with_peers, tell)
    ours = tally(cases, {name: result["codes"] for name, result in results.items()})
    theirs: dict[str, Tally] = {}
    for peer in PEERS if with_peers else ():
        theirs[peer] = tally(cases, {name: result.get("peers", {}).get(peer, []) for name, result in results.items()})
    print_tally(console, f"the doctor, {which}, {len(cases)} trainings, seed {SEED}", ours)
    print_confusion(console, ours)
    if theirs:
        print_peers(console, theirs)
    for name, result in results.items():
        for key in ("error", "peers_error"):
            if key in result:
                console.print(f"{key}  {name}: {result[key]}", markup=False)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, as_json(cases, results, ours, theirs, chosen))
