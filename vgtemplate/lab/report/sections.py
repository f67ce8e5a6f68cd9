"""What the report says of one claim, as a template shows it; judges nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from vgtemplate.config.catalogue import DATASETS
from vgtemplate.lab.catalogue import ARTICLES, CHECKS
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.judge import DEPENDS, FULL_SEEDS, PartVerdict
from vgtemplate.lab.report.arms import compare_arms, describe_searches
from vgtemplate.lab.report.claim_figures import choose_panels, describe_marks, draw_claim
from vgtemplate.lab.report.contradiction import Settled
from vgtemplate.lab.report.html import embed
from vgtemplate.lab.report.strips import draw_strip
from vgtemplate.lab.result import Result
from vgtemplate.lab.verdicts import Other, differs
from vgtemplate.records import Record
from vgtemplate.text import describe_seeds, write_number, write_spread


def _describe_part(claim: ClaimConfig, part: PartVerdict) -> dict[str, Any]:
    """Return a condition of a claim with the effects that were measured; a single value has no strip."""
    published = claim.published.get(part.title)
    return {
        "title": part.title,
        "role": part.role,
        "threshold": part.needed.replace("<=", "≤").replace(">=", "≥"),
        "verdict": part.verdict,
        "count": part.count + (f", {describe_seeds(part.seeds)}" if part.seeds else ""),
        "share": "{:.0%} to {:.0%}".format(*part.interval) if part.verdict == DEPENDS else "",
        "effect": write_spread(part.effects),
        "published": "" if published is None else write_number(published),
        "strip": draw_strip(part.effects, part.threshold, part.seeds) if len(part.effects) > 1 else None,
    }


def describe_dataset(name: str) -> str:
    """Name a data set and where it comes from."""
    return f"{name} ({DATASETS[name].source})" if name in DATASETS else name


def _describe_commands(result: Result, records: Mapping[str, Record]) -> list[str]:
    """Return the commands that judge the claim again: the exact one, and the short one where it does the same."""
    name, seeds = result.claim.id, list(result.seeds)
    went_on = any(len(keys) > 1 for keys in result.keys.values())
    if not seeds:
        return [f"make claim-{name}", f"vgt reproduce {name}"]
    first = f" --first-seed {seeds[0]}" if seeds[0] else ""
    setting = "" if result.setting == "quick" else f" --setting {result.setting}"
    folders = {record.configuration.get("data", {}).get("path") for record in records.values()} - {None}
    cifar = "".join(f" --cifar {shlex.quote(folder)}" for folder in sorted(folders))
    dataset = f" --dataset {result.dataset}" if result.dataset in DATASETS else ""
    number = "" if went_on else f" --seeds {len(seeds)}"
    whole = f"vgt reproduce {name}{dataset}{number}{first}{setting}{cifar}{' --decide' if went_on else ''}"
    usual = seeds == list(range(FULL_SEEDS)) and result.dataset == "mnist" and not setting
    return [f"make claim-{name}", whole] if usual else [whole]


def _describe_articles(claim: ClaimConfig) -> list[tuple[str, str]]:
    rows = [ARTICLES[name] for name in claim.articles]
    return [
        (row.title, row.source + (f", section {claim.sections[row.name]}" if row.name in claim.sections else ""))
        for row in rows
    ]


def embed_panels(figure: Figure | None, name: str, arms: Iterable[str]) -> Markup | None:
    """Return a figure of panels as an image that says what it shows; None where there is none."""
    if figure is None:
        return None
    titles = "; ".join(text.get_text() for text in figure.texts)
    return embed(figure, f"{name}: {titles}; arms {', '.join(arms)}")


def _describe_others(result: Result, others: Iterable[Other]) -> list[dict[str, Any]]:
    """Return what committed verdicts say of a claim, alike ones once, and which contradict that of this run."""
    here = {machine for facts in result.environments.values() for machine in facts["machine"]}
    return [
        {
            "verdict": verdict,
            "machine": machine + (", as in this run" if machine in here else ""),
            "counts": "; ".join(counts),
            "differs": differs(result.outcome, verdict),
        }
        for machine, verdict, counts in dict.fromkeys((other.machine, other.verdict, other.counts) for other in others)
    ]


def build_section(
    result: Result,
    records: Mapping[str, Record],
    others: Sequence[Other],
    settled: Settled | None,
    stability: str,
    link: str | None,
) -> dict[str, Any]:
    """Return what the template shows of a claim.

    Args:
        records: the claim's arms' by name, those that there are.
        others: what was found on other machines.
        settled: the claim with one that says the opposite, where both have a verdict.
        stability: in which variants the claim was judged again, and how; empty where it was not.
    """
    claim = result.claim
    parts = [_describe_part(claim, part) for part in result.parts]
    configurations = {arm: records[arm].configuration if arm in records else patch for arm, patch in claim.arms.items()}
    used = {str(record.dataset["name"]) for record in records.values() if record.dataset.get("name")}
    seeds = f", {describe_seeds(result.seeds)}" if result.seeds else ""
    return {
        "result": result,
        "articles": _describe_articles(claim),
        "parts": parts,
        "deciding": parts[result.parts.index(result.deciding)] if result.deciding else None,
        "figure": embed_panels(draw_claim(claim, records), claim.id, records),
        "marks": describe_marks(choose_panels(claim, records)),
        "arms": compare_arms(configurations),
        "searches": describe_searches(claim, result.picks),
        "others": _describe_others(result, others),
        "settled": settled,
        "stability": stability,
        "check": CHECKS[claim.check].source if claim.check else "",
        "dataset": ", ".join(map(describe_dataset, sorted(used))) + seeds if used else "",
        "commands": _describe_commands(result, records),
        "link": link,
    }
