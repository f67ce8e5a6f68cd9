"""`python -m benchmarks.doctor.again FOLDER`: what the doctor's rules say of what was measured once.

The trainings of all zoos take half an hour, the rules a few seconds: so a rule can be tried on all of them. What a zoo
has not left in the folder yet is trained, and kept.
"""

from __future__ import annotations

import codecs
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
from rich.console import Console

from benchmarks.doctor import zoo
from benchmarks.doctor.case import Case
from benchmarks.doctor.check import quieten
from benchmarks.doctor.run import WHICH, print_tally
from benchmarks.doctor.tally import tally
from benchmarks.doctor.workers import diagnose_case
from vgtemplate.doctor import evidence as evidence_module
from vgtemplate.doctor.evidence import Evidence
from vgtemplate.doctor.examine import examine
from vgtemplate.doctor.report import Report
from vgtemplate.watching.measurements import Measurements


def keep(cases: Iterable[Case], folder: Path) -> None:
    """Train those cases whose evidence is not in a folder yet, and keep it there."""
    take = Report.take
    for case in cases:
        file = folder / f"{case.name}.pt"
        if file.exists():
            continue
        found: list[Evidence] = []

        def taking(report: Report, evidence: Evidence, *rest: Any, found: list[Evidence] = found) -> None:
            found.append(evidence)
            take(report, evidence, *rest)

        with patch.object(Report, "take", taking):
            diagnose_case(case)
        if found:
            click.echo(f"kept {case.name}", err=True)
            torch.save(found[-1], file)


def judge(cases: Iterable[Case], folder: Path) -> dict[str, list[str]]:
    """Return the codes that the rules of today find in the evidence that a folder has, by case."""
    found = {}
    for case in cases:
        file = folder / f"{case.name}.pt"
        findings = examine(_read(file))[0] if file.exists() else []
        found[case.name] = list(dict.fromkeys(finding.code for finding in findings))
    return found


def _read(file: Path) -> Evidence:
    """Return what was kept; nothing of a file is run, and nothing is made but what evidence consists of."""
    kinds = [kind for _, kind in inspect.getmembers(evidence_module, inspect.isclass)]
    numbers: list[Any] = [np.ndarray, np.dtype, np._core.multiarray._reconstruct, np._core.multiarray.scalar]  # type: ignore[attr-defined]
    numbers += [type(np.dtype(each)) for each in (np.float64, np.float32, np.int64, np.bool_)] + [codecs.encode, bytes]
    with torch.serialization.safe_globals([*kinds, Measurements, *numbers]):
        found: Evidence = torch.load(file, weights_only=True)
    return found


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--half", "halves", type=click.Choice(WHICH), multiple=True, default=WHICH, help="Can be repeated.")
def main(folder: Path, halves: tuple[str, ...]) -> None:
    """Judge every training of the zoos again, from what FOLDER keeps of it."""
    quieten()
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=140, soft_wrap=True)
    chosen = [case for half in halves for case in zoo.cases(half)]
    keep(chosen, folder)
    codes = judge(chosen, folder)
    counts = tally(chosen, codes)
    print_tally(console, f"the doctor's rules, {', '.join(halves)}, {len(chosen)} trainings", counts)
    for name, label, said in counts.misses:
        console.print(f"missed       {name}: {label}, said {', '.join(said) or 'nothing'}")
    for name, said in counts.alarms:
        console.print(f"false alarm  {name}: {', '.join(said)}")


if __name__ == "__main__":
    main()
