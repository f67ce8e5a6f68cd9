"""The report's first page: every claim with its verdict, its evidence and the command that repeats it.

Results and records in, one HTML file out; judges nothing, and reads nothing from texts that people wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.judge import CONFIRMED, REFUTED, VERDICTS
from vgtemplate.lab.report.contradiction import settle
from vgtemplate.lab.report.html import render, write_page
from vgtemplate.lab.report.sections import build_section, describe_dataset
from vgtemplate.lab.result import FAILED, NOT_RUN, Read, Result
from vgtemplate.records import Record
from vgtemplate.text import describe_seeds

OUTCOMES = (*VERDICTS, FAILED, NOT_RUN)
"""In the order in which they are counted and drawn."""
OWN = "own"
"""Stands for the articles of a claim that no article makes."""
KINDS = {
    "exact": "exact: mathematics and code, no seeds",
    "timing": "timing: measured on this machine",
    "initial": "judged at initialisation",
    "training": "judged after training",
}


def describe_basis(results: Sequence[Result]) -> str:
    """Say on which data set and seeds, and in which setting, the verdicts were reached."""
    bases = ((result.dataset, result.seeds, result.setting) for result in results if result.seeds)
    without = sum(not result.seeds for result in results)
    words = [
        f"{describe_dataset(dataset)}, {describe_seeds(seeds)}" + ("" if setting == "quick" else f", {setting} setting")
        for dataset, seeds, setting in dict.fromkeys(bases)
    ]
    if not words:
        return "No claim here needs data or seeds."
    others = "claim, exact or a timing, needs" if without == 1 else "claims, exact or timings, need"
    return f"Verdicts on {'; '.join(words)}." + (f" {without} {others} neither." if without else "")


def _count(results: Sequence[Result], outcome: str) -> int:
    return sum(result.outcome == outcome for result in results)


def _bars(results: Sequence[Result]) -> list[tuple[str, str, dict[str, int]]]:
    """Count the outcomes of all claims, of those of each article that makes any, and of those that none makes.

    Each count has the key of its article, OWN, or an empty one for all claims, and a title.
    """
    groups = [("", "All claims", list(results))]
    for row in ARTICLES.values():
        groups.append((row.name, row.title, [result for result in results if row.name in result.claim.articles]))
    groups.append((OWN, "Our own claims", [result for result in results if not result.claim.articles]))
    return [
        (name, title, {outcome: count for outcome in OUTCOMES if (count := _count(group, outcome))})
        for name, title, group in groups
        if group
    ]


def _environment(record: Record) -> str:
    """Say on what a record was made."""
    environment = record.environment
    commit = str(environment.get("commit") or "unknown")[:10] + (" (changed)" if environment.get("dirty") else "")
    torch = dict(environment.get("versions") or {}).get("torch", "-")
    return f"{environment.get('device', '-')} ({environment.get('device_name', '-')}), torch {torch}, commit {commit}"


def write_report(
    folder: Path,
    results: Sequence[Result],
    read: Read,
    links: Mapping[str, str] | None = None,
    stability: Mapping[str, str] | None = None,
) -> Path:
    """Write `folder/index.html` as `write_page` does; the same results and records give the same file.

    Args:
        links: claim to the address of its MLflow experiment.
        stability: claim to a sentence on how it was judged again.
    """
    settled = settle(results, read)
    sections, environments = [], set()
    for result in results:
        name = result.claim.id
        records = {arm: record for arm, key in result.keys.items() if (record := read(key)) is not None}
        environments |= {_environment(record) for record in records.values()}
        again, link = (stability or {}).get(name, ""), (links or {}).get(name)
        sections.append(build_section(result, records, settled.get(name, []), again, link))
    text = render(
        "index.html",
        basis=describe_basis(results),
        provisional=any(result.is_provisional for result in results),
        sections=sections,
        bars=_bars(results),
        outcomes=[outcome for outcome in OUTCOMES if _count(results, outcome)],
        articles=[row for row in ARTICLES.values() if any(row.name in result.claim.articles for result in results)],
        own=OWN if any(not result.claim.articles for result in results) else "",
        kinds={kind: text for kind, text in KINDS.items() if any(result.claim.kind == kind for result in results)},
        environments=sorted(environments),
    )
    return write_page(folder / "index.html", text)
