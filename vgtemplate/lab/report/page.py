"""The report's first page: every claim with its verdict, its evidence and the command that repeats it.

Results and records in, one HTML file out; judges nothing, and reads nothing from texts that people wrote.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vgtemplate.atomic import write_whole
from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.errors import UserError
from vgtemplate.lab.catalogue import ARTICLES, CHECKS
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.report.claim_figures import describe_marks, draw_claim
from vgtemplate.lab.report.contradiction import RESCUES, VANISHES, settle
from vgtemplate.lab.report.html import embed, render
from vgtemplate.lab.report.settings import Setting, compare, describe_searches
from vgtemplate.lab.report.strips import Strip, draw_strip
from vgtemplate.records import Record
from vgtemplate.text import describe_seeds, read_number, write_number, write_spread

Result = Mapping[str, Any]
Read = Callable[[str], Record | None]

VERDICTS = ("confirmed", "mixed", "inconclusive", "refuted", "failed", "not run")
"""In the order in which they are counted and drawn."""
KINDS = {
    "exact": "exact: mathematics and code, no seeds",
    "timing": "timing: measured on this machine",
    "initial": "judged at initialisation",
    "training": "judged after training",
}
_FULL_SEEDS = 10


@dataclass(frozen=True)
class Part:
    """A condition of a claim with the effects that were measured."""

    title: str
    threshold: str
    verdict: str
    cleared: int
    count: int
    effect: str
    """The effect in words: its median and range, or the only value."""
    published: str
    strip: Strip | None
    """None where there is a single value."""


@dataclass(frozen=True)
class Section:
    """All that a claim's section shows."""

    result: Result
    claim: ClaimConfig
    articles: Sequence[tuple[str, str]]
    """Title and source with the section in it."""
    parts: Sequence[Part]
    deciding: Part | None
    """The part that clears least."""
    figure: Markup | None
    marks: str
    """What the figure's lines and marks mean."""
    setting: Setting
    searches: Sequence[str]
    settled: Sequence[str]
    check: str
    dataset: str
    commands: Sequence[str]
    link: str | None


@dataclass(frozen=True)
class Bar:
    """The verdicts on an article's claims, for the picture."""

    name: str
    title: str
    total: int
    counts: Mapping[str, int]


def _effects(part: Result) -> list[float]:
    """Return effects as numbers: JSON has infinities as text and NaN as null."""
    return [read_number(effect) for effect in part["effects"]]


def _part(part: Result, seeds: Sequence[int]) -> Part:
    effects = _effects(part)
    return Part(
        title=part["title"],
        threshold=part["threshold"].replace("<=", "≤").replace(">=", "≥"),
        verdict=part["verdict"],
        cleared=part["cleared"],
        count=len(effects),
        effect=write_spread(effects),
        published="" if part["published"] is None else write_number(part["published"]),
        strip=draw_strip(effects, part["threshold"], seeds) if len(effects) > 1 else None,
    )


def describe_basis(results: Sequence[Result]) -> str:
    """Say on which data set and seeds, and in which setting, the verdicts were reached."""
    bases = ((result["dataset"], tuple(result["seeds"]), result["setting"]) for result in results if result["seeds"])
    seeded = list(dict.fromkeys(bases))
    without = sum(not result["seeds"] for result in results)
    words = [
        f"{_describe_dataset(dataset)}, {describe_seeds(seeds)}"
        + ("" if setting == "quick" else f", {setting} setting")
        for dataset, seeds, setting in seeded
    ]
    text = f"Verdicts on {'; '.join(words)}." if words else "No claim here needs data or seeds."
    if words and without:
        text += (
            f" {without} claim{', exact or a timing, needs' if without == 1 else 's, exact or timings, need'} neither."
        )
    return text


def _describe_dataset(name: str) -> str:
    return f"{name} ({DATASETS[name].source})" if name in DATASETS else name


def _commands(result: Result, records: Mapping[str, Record]) -> list[str]:
    """Return the commands that judge the claim again: the exact one, and the short one where it does the same."""
    name, seeds = result["id"], list(result["seeds"])
    if not seeds:
        return [f"make claim-{name}", f"vgt reproduce {name}"]
    first = f" --first-seed {seeds[0]}" if seeds[0] else ""
    setting = "" if result["setting"] == "quick" else f" --setting {result['setting']}"
    folders = {record.configuration.get("data", {}).get("path") for record in records.values()} - {None}
    cifar = "".join(f" --cifar {shlex.quote(folder)}" for folder in sorted(folders))
    whole = f"vgt reproduce {name} --dataset {result['dataset']} --seeds {len(seeds)}{first}{setting}{cifar}"
    usual = seeds == list(range(_FULL_SEEDS)) and result["dataset"] == "mnist" and not setting
    return [f"make claim-{name}", whole] if usual else [whole]


def _articles(claim: ClaimConfig) -> list[tuple[str, str]]:
    rows = [ARTICLES[name] for name in claim.articles]
    return [
        (row.title, row.source + (f", section {claim.sections[row.name]}" if row.name in claim.sections else ""))
        for row in rows
    ]


def _figure(claim: ClaimConfig, records: Mapping[str, Record]) -> Markup | None:
    figure = draw_claim(claim, records)
    if figure is None:
        return None
    titles = "; ".join(text.get_text() for text in figure.texts)
    return embed(figure, f"{claim.id}: {titles}; arms {', '.join(records)}")


def _section(
    result: Result, claim: ClaimConfig, records: Mapping[str, Record], settled: Sequence[str], link: str | None
) -> Section:
    parts = [_part(part, result["seeds"]) for part in result["parts"]]
    configurations = {arm: records[arm].configuration if arm in records else patch for arm, patch in claim.arms.items()}
    used = {str(record.dataset["name"]) for record in records.values() if record.dataset.get("name")}
    seeds = f", {describe_seeds(result['seeds'])}" if result["seeds"] else ""
    return Section(
        result=result,
        claim=claim,
        articles=_articles(claim),
        parts=parts,
        deciding=min(parts, key=lambda part: part.cleared / part.count, default=None),
        figure=_figure(claim, records),
        marks=describe_marks(claim, records),
        setting=compare(configurations),
        searches=describe_searches(claim, configurations),
        settled=settled,
        check=CHECKS[claim.check].source if claim.check else "",
        dataset=", ".join(map(_describe_dataset, sorted(used))) + seeds if used else "",
        commands=_commands(result, records),
        link=link,
    )


def _bars(results: Sequence[Result]) -> list[Bar]:
    """Count the verdicts on all claims, and on those of each article that makes any."""
    groups = [("", "All claims", list(results))]
    for row in ARTICLES.values():
        groups.append((row.name, row.title, [result for result in results if row.name in result["articles"]]))
    return [
        Bar(name, title, len(group), {verdict: count for verdict in VERDICTS if (count := _count(group, verdict))})
        for name, title, group in groups
        if group
    ]


def _count(results: Sequence[Result], verdict: str) -> int:
    return sum(result["verdict"] == verdict for result in results)


def _depths(result: Result | None, read: Read) -> dict[str, int]:
    """Return the number of hidden layers of a result's arms."""
    keys = result["records"] if result else {}
    records = {arm: record for arm, key in keys.items() if (record := read(key)) is not None}
    return {arm: int(record.configuration["model"]["depth"]) for arm, record in records.items()}


def _environment(record: Record) -> str:
    """Say on what a record was made."""
    environment = record.environment
    commit = str(environment.get("commit") or "unknown")[:10] + (" (changed)" if environment.get("dirty") else "")
    torch = dict(environment.get("versions") or {}).get("torch", "-")
    return f"{environment.get('device', '-')} ({environment.get('device_name', '-')}), torch {torch}, commit {commit}"


def write_report(
    folder: Path,
    results: Sequence[Result],
    claims: Mapping[str, ClaimConfig],
    read: Read,
    links: Mapping[str, str] | None = None,
) -> Path:
    """Write `folder/index.html`, whole or not at all; the same results and records give the same file.

    Args:
        folder: created if need be.
        results: plain data, as `Result.to_json` of reproduce/result.py returns it; a verdict may be "not run".
        claims: by name; a result without its claim is left out.
        read: key to record, None where there is none.
        links: claim to the address of its MLflow experiment.

    Raises:
        UserError: the folder refuses.
    """
    known = [result for result in results if result["id"] in claims]
    by_name = {result["id"]: result for result in known}
    settled = settle(by_name, claims, _depths(by_name.get(VANISHES), read))
    sections, environments = [], set()
    for result in known:
        records = {arm: record for arm, key in result["records"].items() if (record := read(key)) is not None}
        environments |= {_environment(record) for record in records.values()}
        name = result["id"]
        about = settled if name in (VANISHES, RESCUES) else []
        sections.append(_section(result, claims[name], records, about, (links or {}).get(name)))
    text = render(
        "index.html",
        basis=describe_basis(known),
        provisional=any(result["provisional"] for result in known),
        sections=sections,
        bars=_bars(known),
        verdicts=[verdict for verdict in VERDICTS if _count(known, verdict)],
        articles=[row for row in ARTICLES.values() if any(row.name in result["articles"] for result in known)],
        kinds={kind: text for kind, text in KINDS.items() if any(result["kind"] == kind for result in known)},
        environments=sorted(environments),
    )
    return write_page(folder / "index.html", text)


def write_page(path: Path, text: str) -> Path:
    """Write a page, whole or not at all.

    Raises:
        UserError: the folder refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written ({error.strerror})") from None
    return path
