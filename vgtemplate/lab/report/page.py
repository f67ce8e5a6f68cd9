"""The report's first page: every claim with its verdict, its evidence and the command that repeats it.

Results and records in, one HTML file out; judges nothing, and reads nothing from texts that people wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.counts import OUTCOMES, count_judged, count_outcomes, why_not_judged
from vgtemplate.lab.judge import CONFIRMED, DEPENDS, NOT_TESTED, OPEN, PARTLY, REFUTED, VERDICTS
from vgtemplate.lab.report.claim_figures import describe_marks, draw_panels
from vgtemplate.lab.report.contradiction import Settled, settle
from vgtemplate.lab.report.html import render, write_page
from vgtemplate.lab.report.places import Place
from vgtemplate.lab.report.sections import build_section, describe_dataset, embed_panels
from vgtemplate.lab.result import FAILED, NOT_RUN, Read, Result
from vgtemplate.lab.verdicts import Other
from vgtemplate.records import Record
from vgtemplate.text import describe_seeds

MEANINGS = {
    CONFIRMED: "every premise and every assertion clears its threshold",
    REFUTED: "every premise clears, and no assertion does",
    PARTLY: "every premise clears, some assertions do and some do not",
    DEPENDS: "an assertion is undecided even at 100 seeds, and the others clear",
    NOT_TESTED: "a premise does not clear: what the statement speaks of did not occur",
    OPEN: "more seeds have to decide: `make decide`",
    FAILED: "something went wrong while it ran",
    NOT_RUN: "there are no records of it",
}
"""Outcome to what it says of a claim (docs/register.md, amendment 2)."""
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
    looks: dict[tuple[str, str], Counter[tuple[int, ...]]] = {}
    for result in results:
        if result.seeds:
            looks.setdefault((result.dataset, result.setting), Counter())[result.seeds] += 1
    if not looks:
        return "No claim here needs data or seeds."
    words = [_describe_looks(dataset, setting, seeds) for (dataset, setting), seeds in looks.items()]
    without = sum(not result.seeds for result in results)
    others = "claim is a formula or a timing: it needs" if without == 1 else "claims are formulas or timings: they need"
    return f"Verdicts on {'; '.join(words)}." + (f" {without} {others} no data and no seeds." if without else "")


def _describe_looks(dataset: str, setting: str, looks: Counter[tuple[int, ...]]) -> str:
    """Say on which seeds the claims were judged: on the first, and how many of them on more."""
    first, *later = sorted(looks, key=len)
    words = f"{describe_dataset(dataset)}, {describe_seeds(first)}"
    words += "" if setting == "quick" else f", {setting} setting"
    further = " and ".join(f"{looks[seeds]} on {describe_seeds(seeds)}" for seeds in later)
    return f"{words} ({further})" if further else words


def _draw_settled(found: Settled) -> dict[str, Any]:
    """Return what the template shows of two claims that contradict each other."""
    arms = list(dict.fromkeys(arm for each in found.panels.values() for arm in each))
    figure = embed_panels(draw_panels(found.panels, arms, found.parts), " or ".join(found.claims), arms)
    marks = describe_marks(found.panels)
    return {"claims": found.claims, "paragraphs": found.paragraphs, "figure": figure, "marks": marks}


def _bars(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Count the outcomes of all claims, of those of each article that makes any, and of those that none makes.

    Each count has the key of its article, OWN, or an empty one for all claims, and a title.
    """
    groups = [("", "All claims", list(results))]
    for row in ARTICLES.values():
        groups.append((row.name, row.title, [result for result in results if row.name in result.claim.articles]))
    groups.append((OWN, "Our own claims", [result for result in results if not result.claim.articles]))
    return [_bar(name, title, [result.outcome for result in group]) for name, title, group in groups if group]


def _bar(name: str, title: str, outcomes: Sequence[str]) -> dict[str, Any]:
    counts = Counter(outcomes)
    held = f"{counts[CONFIRMED]} of {count_judged(outcomes)} that were judged hold"
    return {
        "name": name,
        "title": title,
        "held": held,
        "counts": {word: counts[word] for word in OUTCOMES if counts[word]},
    }


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
    others: Mapping[str, Sequence[Other]] | None = None,
    places: Sequence[Place] = (),
) -> Path:
    """Write `folder/index.html` as `write_page` does; the same results and records give the same file.

    Args:
        links: claim to the address of its MLflow experiment.
        stability: claim to a sentence on how it was judged again.
        others: claim to what was found on other machines.
        places: figures on the other pages, which the search finds.
    """
    settled = settle(results, read)
    disputed = {name: each for each in settled for name in each.claims}
    sections, environments = [], set()
    for result in results:
        name = result.claim.id
        records = {arm: record for arm, keys in result.keys.items() if (record := read(keys)) is not None}
        environments |= {_environment(record) for record in records.values() if record.environment}
        elsewhere, again, link = (others or {}).get(name, ()), (stability or {}).get(name, ""), (links or {}).get(name)
        sections.append(build_section(result, records, elsewhere, disputed.get(name), again, link))
    outcomes = [result.outcome for result in results]
    text = render(
        "index.html",
        basis=describe_basis(results),
        provisional=any(result.is_provisional for result in results),
        sections=sections,
        bars=_bars(results),
        counted=count_outcomes(outcomes),
        unjudged=why_not_judged(results),
        settled=[_draw_settled(each) for each in settled],
        meanings=[
            (word, outcomes.count(word), text)
            for word, text in MEANINGS.items()
            if word in VERDICTS or word in outcomes
        ],
        outcomes=[outcome for outcome in OUTCOMES if outcome in outcomes],
        articles=[row for row in ARTICLES.values() if any(row.name in result.claim.articles for result in results)],
        own=OWN if any(not result.claim.articles for result in results) else "",
        kinds={kind: text for kind, text in KINDS.items() if any(result.claim.kind == kind for result in results)},
        environments=sorted(environments),
        places=places,
    )
    return write_page(folder / "index.html", text)
