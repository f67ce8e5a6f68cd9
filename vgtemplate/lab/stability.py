"""Whether a verdict stays when nothing but the seeds, the number of threads or the precision changes.

Owns the variants and the comparison of their verdicts; judges nothing itself, and changes no verdict.
"""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.plan import Plan, only, plan_claims
from vgtemplate.lab.result import Result
from vgtemplate.text import plain_number

CHEAP_SECONDS = 10.0
"""A claim whose arms are all estimated to take no longer is judged in other precisions and threads too."""
_SET_DISTANCE = 100
_FILE = "stability.json"


@dataclass(frozen=True)
class Variant:
    """One way to judge the claims again; what is None stays as `vgt reproduce` has it."""

    label: str
    seeds: tuple[int, ...]
    threads: int | None = None
    precision: str | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether every claim is judged, not the cheap ones alone."""
        return self.threads is None and self.precision is None

    def results(self, results: Path) -> Path:
        """Return the folder of its records: keys do not hold the number of threads, so those have their own."""
        return results / "stability" / f"threads-{self.threads}" if self.threads else results


def list_variants(num_sets: int, num_seeds: int) -> list[Variant]:
    """Return disjoint sets of seeds (0 to 9, 100 to 109, ...), then precisions and threads on the first of them."""
    distance = max(_SET_DISTANCE, num_seeds)
    sets = [tuple(range(first, first + num_seeds)) for first in range(0, num_sets * distance, distance)]
    return [
        *(Variant(f"seeds {seeds[0]} to {seeds[-1]}", seeds) for seeds in sets),
        Variant("float32", sets[0], precision="32-true"),
        Variant("float64", sets[0], precision="64-true"),
        Variant("1 thread", sets[0], threads=1),
        Variant("2 threads", sets[0], threads=2),
    ]


def plan_variant(variant: Variant, claims: Mapping[str, ClaimConfig], folder: Path, dataset: str, root: Path) -> Plan:
    """Return a variant's plan: the claims that have seeds, unless all are asked for only the cheap ones."""
    seeded = {name: claim for name, claim in claims.items() if claim.check is None}
    overrides = [f"training.precision={variant.precision}"] if variant.precision else []
    plan = plan_claims(seeded, folder, dataset, variant.seeds, root, overrides)
    if variant.is_for_all:
        return plan
    cheap = {key for key, job in plan.jobs.items() if task_seconds(job) <= CHEAP_SECONDS}
    return only(plan, [name for name, keys in plan.keys.items() if cheap.issuperset(keys.values())])


def _parts(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "title": part.title,
            "threshold": part.threshold,
            "cleared": part.cleared,
            "count": len(part.effects),
            "median": plain_number(statistics.median(part.effects)),
            "lowest": plain_number(min(part.effects)),
            "highest": plain_number(max(part.effects)),
        }
        for part in result.parts
    ]


Outcomes = dict[str, dict[str, dict[str, Any]]]
"""Claim to variant to its verdict and parts, as JSON has them."""


def add_outcomes(outcomes: Outcomes, variant: Variant, results: Sequence[Result]) -> None:
    """Note what came out of a variant."""
    for result in results:
        entry = {"verdict": result.outcome, "failure": result.failure, "parts": _parts(result)}
        outcomes.setdefault(result.claim.id, {})[variant.label] = entry


def is_stable(variants: Mapping[str, Mapping[str, Any]]) -> bool:
    """Say whether a claim has one verdict in all variants."""
    return len({entry["verdict"] for entry in variants.values()}) == 1


def describe(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a sentence in which variants a claim has which verdict."""
    groups: dict[str, list[str]] = {}
    for label, entry in variants.items():
        groups.setdefault(entry["verdict"], []).append(label)
    words = "; ".join(f"{verdict} on {', '.join(labels)}" for verdict, labels in groups.items())
    return f"stable: {words}" if len(groups) == 1 else f"not stable: {words}"


def write_outcomes(results: Path, dataset: str, outcomes: Outcomes) -> Path:
    """Keep the outcomes beside the records, over those of the same claims on the same data set.

    Raises:
        UserError: the folder refuses.
    """
    path = results / _FILE
    content = {
        "dataset": dataset,
        "date": datetime.date.today().isoformat(),
        "claims": read_outcomes(results, dataset) | outcomes,
    }
    try:
        write_whole(path, json.dumps(content, indent=1))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def read_outcomes(results: Path, dataset: str) -> Outcomes:
    """Return the outcomes on a data set; none where `vgt stability` was not run, or its file is damaged."""
    try:
        content = json.loads((results / _FILE).read_bytes())
        found: Outcomes = content["claims"] if content["dataset"] == dataset else {}
        for variants in found.values():
            describe(variants)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return found
