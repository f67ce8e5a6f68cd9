"""Faults put into training scripts of others, one each, and what `vgt diagnose` says of them.

`python -m benchmarks.doctor.mutants FOLDER` is mutation testing in the manner of DeepCrime (Humbatova et al., 2021).
The scripts are those of `scripts`, in FOLDER; a mutant stands beside its original there. Original and mutant begin
with the same seeds. A mutant counts once it is really ill, which `harm` tells from runs without any doctor.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import multiprocessing
import os
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from benchmarks.doctor.mutant_edits import Operator
from benchmarks.doctor.mutant_exam import OPERATORS, Subject, subjects
from benchmarks.doctor.scripts import fetch, place_mnist
from benchmarks.doctor.tally import share

SEEDED = "import copy, random, numpy, torch\nrandom.seed(0)\nnumpy.random.seed(0)\ntorch.manual_seed(0)\n"
STEPS = 200
MOST = 5
"""So many scripts per operator, in the order of a hash, where more would do."""
LIMIT_S = 150.0
QUIET = {"MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Mutant:
    """A script with one fault, or, where the operator is None, with none."""

    subject: Subject
    operator: Operator | None
    text: str

    @property
    def label(self) -> str:
        return self.operator.name if self.operator else "original"

    def path(self, folder: Path) -> Path:
        script = self.subject.script
        file = Path(script.call.split()[0])
        kind = script.call.partition("--type ")[2].split(" ")[0]
        name = "--".join(part for part in (file.stem, kind, self.label) if part)
        return folder / script.repository.replace("/", "+") / script.folder / f"{name}.py"

    def call(self, folder: Path) -> list[str]:
        return [self.path(folder).name, *shlex.split(self.subject.script.call)[1:]]


def mutate(source: str, operator: Operator | None, facts: dict[str, str]) -> str | None:
    """Return a script's text with the seeds and the fault; None where there is no place for the fault."""
    tree = ast.parse(source)
    if operator is not None and (not re.search(operator.needs, source) or not operator.edit(tree, facts)):
        return None
    futures = [each for each in tree.body if isinstance(each, ast.ImportFrom) and each.module == "__future__"]
    rest = [each for each in tree.body if each not in futures]
    tree.body = [*futures, *ast.parse(SEEDED).body, *rest]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def chosen(folder: Path, only: str) -> list[Mutant]:
    """Return the originals and the mutants: of each operator the first MOST scripts that it applies to."""
    known = subjects()
    texts = {}
    for subject in known:
        place = fetch(folder, subject.script.repository) / subject.script.folder
        texts[subject.script.name] = (place / subject.script.call.split()[0]).read_text(encoding="utf-8")
    found = [Mutant(subject, None, mutate(texts[subject.script.name], None, {}) or "") for subject in known]
    for operator in OPERATORS:
        order = sorted(known, key=lambda each: hashlib.sha256(f"{operator.name} {each.script.name}".encode()).digest())
        made = ((each, mutate(texts[each.script.name], operator, each.facts)) for each in order)
        found += [Mutant(each, operator, text) for each, text in made if text is not None][:MOST]
    return [mutant for mutant in found if only in f"{mutant.subject.script.name} {mutant.label}"]


def alone(argv: list[str], place: Path, log: Path) -> str:
    """Run a module with its arguments, as `python -m` would, in a process of its own; return its last word."""
    server = multiprocessing.get_context("forkserver")
    # A copy of a process that has imported all of it begins in a tenth of the time.
    server.set_forkserver_preload(
        ["matplotlib.pyplot", "torchvision", "vgtemplate.cli.main", "benchmarks.doctor.tally"]
    )
    os.environ.update(QUIET)
    process = server.Process(target=_started, args=(argv, str(place), str(log)))
    process.start()
    process.join(LIMIT_S)
    if process.is_alive():
        process.kill()
        process.join()
        return f"not done after {LIMIT_S:.0f} s"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    log.unlink()
    return next((line for line in reversed(lines) if line.strip()), "")


def _started(argv: list[str], place: str, log: str) -> None:
    with Path(log).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # for a script's own workers, as where it is started alone
    os.chdir(place)
    sys.path.insert(0, place)
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def run(mutant: Mutant, folder: Path, front: list[str], kind: str) -> dict[str, Any]:
    """Run a mutant behind `front`, which writes JSON to a file named @; return that, of an earlier run if there is."""
    call = mutant.call(folder)
    key = hashlib.sha256("\n".join([mutant.text, *call]).encode()).hexdigest()[:16]
    kept = folder / "records" / f"{key}.{kind}.json"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        mutant.path(folder).write_text(mutant.text, encoding="utf-8")
        argv = [str(kept) if part == "@" else part for part in front] + call
        ended = alone(argv, mutant.path(folder).parent, kept.with_suffix(".log"))
        if not kept.exists():
            kept.write_text(json.dumps({"ended": ended}), encoding="utf-8")
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def bare(mutant: Mutant, folder: Path) -> dict[str, Any]:
    """Run a mutant without a doctor: its losses, and how many parameters stood still."""
    return run(mutant, folder, ["benchmarks.doctor.mutant_bare", "@", str(STEPS)], "bare")


def look(mutant: Mutant, folder: Path) -> dict[str, Any]:
    """Run the doctor on a mutant."""
    front = ["vgtemplate", "diagnose", "--steps", str(STEPS), "--stop", "--json", "@"]
    return run(mutant, folder, front, "look")


def ends(losses: list[float]) -> tuple[float, float]:
    """Return the mean loss of the first three passes, and of the last fifth."""
    return fmean(losses[:3]), fmean(losses[-max(1, len(losses) // 5) :])


def harm(mutant: Mutant, original: dict[str, Any], ill: dict[str, Any]) -> str:
    """Return how it shows that a mutant is ill, or "no harm", "no change", or "no mutant: ..." of one that cannot run.

    The loss tells it where the original's falls by a twentieth: the mutant's, over the last fifth of the passes, is
    above the middle of the original's way. Where the loss's scale is another one, shares of the first loss are
    compared. In a game only values that are not finite and parameters that stand still tell.
    """
    operator, losses = mutant.operator, ill.get("losses", [])
    if operator is None or len(losses) < 5:
        return f"no mutant: {ill.get('ended') or 'it takes no steps'}"
    if not all(map(math.isfinite, losses)):
        return "the loss is not finite"
    if ill["ended"]:
        return f"it breaks off: {ill['ended']}"
    if operator.told == "given":
        return "by construction"
    if operator.told == "below zero" and ends(losses)[1] < 0:
        return "the loss falls below zero"
    if ill["still"] > original["still"]:
        return f"{ill['still'] - original['still']} parameters stand still"
    if losses == original["losses"]:
        return "no change"
    (first, last), (begun, ended) = ends(original["losses"]), ends(losses)
    if operator.told == "fall":
        begun, ended = 1.0, ended / begun
        first, last = 1.0, last / first
    if not mutant.subject.is_game and first - last > 0.05 * abs(first) and ended > (first + last) / 2:
        return f"the loss ends at {ended:.3g}, not {last:.3g}"
    return "no harm"


def is_ill(shown: str) -> bool:
    """Whether a mutant counts."""
    return not shown.startswith("no ")


def row(mutant: Mutant, folder: Path, examined: bool) -> dict[str, Any]:
    """Return a mutant's row: what was put in, what it does, what the doctor says."""
    operator = mutant.operator
    row: dict[str, Any] = {"script": mutant.subject.script.name, "operator": mutant.label}
    row["file"] = str(mutant.path(folder).relative_to(folder))
    if operator is not None:
        healthy = bare(Mutant(mutant.subject, None, mutate(_source(mutant, folder), None, {}) or ""), folder)
        row |= {"expected": operator.expected, "also": sorted(operator.also - {operator.expected})}
        row["harm"] = harm(mutant, healthy, bare(mutant, folder))
    if examined and not row.get("harm", "").startswith(("no mutant", "no change")):
        found = look(mutant, folder)
        row["steps"] = len(found.get("steps", []))
        row["findings"] = [{key: each[key] for key in ("code", "where")} for each in found.get("findings", [])]
        row |= {} if row["steps"] else {"ended": found.get("ended", "")}
    return row


def _source(mutant: Mutant, folder: Path) -> str:
    script = mutant.subject.script
    place = folder / script.repository.replace("/", "+") / script.folder / script.call.split()[0]
    return place.read_text(encoding="utf-8")


def codes(row: dict[str, Any]) -> list[str]:
    """Return the codes that were found, each once."""
    return list(dict.fromkeys(each["code"] for each in row.get("findings", [])))


def right(row: dict[str, Any]) -> bool:
    """Whether the fault, or what was accepted in its place, is among the findings."""
    return bool({row["expected"], *row["also"]} & set(codes(row)))


def tell(rows: list[dict[str, Any]]) -> None:
    """Print recall, of any finding and of the right code, by operator; then what was missed."""
    mutants = [row for row in rows if "harm" in row]
    ill = [row for row in mutants if is_ill(row["harm"])]
    well = [row for row in mutants if row["harm"] == "no harm"]
    looked = [row for row in well if "findings" in row]
    click.echo(
        f"{len(mutants)} mutants of {len({row['script'] for row in mutants})} scripts: {len(ill)} ill, ", nl=False
    )
    click.echo(f"{len(well)} without harm, {len(mutants) - len(ill) - len(well)} unchanged or not to be run")
    if any("findings" in row for row in rows):
        for name in (*dict.fromkeys(row["operator"] for row in ill), ""):
            these = [row for row in ill if name in {row["operator"], ""}]
            found, named = share(bool(codes(row)) for row in these), share(map(right, these))
            strict = share(row["expected"] in codes(row) for row in these)
            click.echo(f"{name or 'all'}: any finding {found}; right code {named}; the fault's own {strict}")
        healthy = [row for row in rows if "harm" not in row]
        click.echo(f"without harm: {share(bool(codes(row)) for row in looked)} with findings")
        click.echo(f"originals: {share(bool(codes(row)) for row in healthy)} with findings")
        for row in [*[row for row in ill if not right(row)], *[row for row in (*well, *healthy) if codes(row)]]:
            said = ", ".join(codes(row)) or row.get("ended") or "nothing"
            click.echo(f"{row['file']}: {row.get('expected', 'healthy')} ({row.get('harm', '')}) | {said}")


def over(mutants: Iterable[Mutant], jobs: int, do: Callable[[Mutant], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each mutant's row, several processes at a time; say what is done."""
    with ThreadPoolExecutor(jobs) as pool:
        rows = []
        for row in pool.map(do, mutants):
            click.echo(f"{row['file']}: {row.get('harm', '')} | {', '.join(codes(row))}", err=True)
            rows.append(row)
    return rows


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, path_type=Path), envvar="VGT_DATA_DIR", default=Path("data"))
@click.option("--only", default="", help="Mutants with this in their script's and operator's names.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True)
@click.option("--harm-only", is_flag=True, help="No doctor: only which mutants are ill.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path))
def main(folder: Path, data: Path, only: str, jobs: int, harm_only: bool, path: Path | None) -> None:
    """Put one fault each into scripts of others, and count what `vgt diagnose` finds."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    mutants = chosen(folder, only)
    for script in {mutant.subject.script for mutant in mutants if mutant.subject.script.mnist}:
        place_mnist(folder / script.repository.replace("/", "+") / script.folder / script.mnist, data.resolve())
    rows = over(mutants, jobs, lambda mutant: row(mutant, folder, not harm_only))
    tell(rows)
    if path is not None:
        lines = ",\n".join(json.dumps(each) for each in rows)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
