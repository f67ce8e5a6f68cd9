"""Whether a verdict stays when one thing is changed: seeds, threads, precision, width, data set, machine.

Owns the variants and the comparison of their verdicts; judges nothing itself, and changes no verdict. Everything is
judged at the first look, ten seeds: what is open there contradicts nothing.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_file
from vgtemplate.config.load import merge
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import resolve_claim
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.gather import describe_part
from vgtemplate.lab.plan import Plan, only, plan_claims
from vgtemplate.lab.result import Result
from vgtemplate.lab.verdicts import committed, differs

CHEAP_SECONDS = 10.0
"""A claim whose arms are all estimated to take no longer is judged in every variant that is trained."""
AXES = {
    "seeds": "100 to 109, 200 to 209; every claim",
    "threads": "1 and 2",
    "precision": "float32 and float64",
    "width": "every layer half and twice as wide, with the settings that were searched for the usual one",
    "dataset": "MNIST, the digits, CIFAR-10; those that are there",
    "machine": "what is kept in docs/verdicts",
}
"""What can be changed, and to what."""
DATASETS = ("mnist", "digits", "cifar10")
"""Those that the claims are judged on; photographs as they are, in colour."""
_WIDTHS = (0.5, 2.0)
_SET_DISTANCE = 100
_FILE = "stability.json"
_MOST_BYTES = 2**24
"""Of the outcomes of all claims: some hundred times what they have."""


@dataclass(frozen=True)
class Variant:
    """One way to judge the claims again; what is None stays as `vgt reproduce` has it."""

    label: str
    seeds: tuple[int, ...]
    threads: int | None = None
    precision: str | None = None
    width: float | None = None
    """A factor on the width of every layer of every arm."""
    dataset: str | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether every claim is judged, not the cheap ones alone."""
        return (self.threads, self.precision, self.width, self.dataset) == (None, None, None, None)

    def results(self, results: Path) -> Path:
        """Return the folder of its records: keys do not hold the number of threads, so those have their own."""
        return results / "stability" / f"threads-{self.threads}" if self.threads else results


def list_variants(num_sets: int, num_seeds: int, axes: Collection[str], datasets: Sequence[str] = ()) -> list[Variant]:
    """Return what is to be trained: the usual seeds, further disjoint sets (100 to 109, ...), then the other axes.

    Args:
        num_sets: of seeds, where these are an axis.
        num_seeds: of a set.
        axes: what is changed, the usual first set aside.
        datasets: others than the usual one, where they are an axis.
    """
    distance = max(_SET_DISTANCE, num_seeds)
    last = num_sets * distance if "seeds" in axes else distance
    sets = [tuple(range(first, first + num_seeds)) for first in range(0, last, distance)]
    first = sets[0]
    of_axis = {
        "precision": [Variant(f"float{bits}", first, precision=f"{bits}-true") for bits in (32, 64)],
        "width": [Variant(f"width x {factor:g}", first, width=factor) for factor in _WIDTHS],
        "dataset": [Variant(name, first, dataset=name) for name in datasets],
        "threads": [Variant(f"{number} thread{'s' * (number > 1)}", first, threads=number) for number in (1, 2)],
    }
    usual = [Variant(f"seeds {seeds[0]} to {seeds[-1]}", seeds) for seeds in sets]
    return usual + [variant for axis, variants in of_axis.items() if axis in axes for variant in variants]


def plan_variant(
    variant: Variant,
    claims: Mapping[str, ClaimConfig],
    folder: Path,
    dataset: str,
    root: Path,
    cifar: Path | None = None,
) -> Plan:
    """Return a variant's plan: the claims that have seeds, unless all are asked for only the cheap ones.

    It makes one look. In a variant that is not for all, what cannot be run (settings that were not searched on a data
    set) stays among the plan's failures, and not among its claims.

    Args:
        cifar: a folder of pictures to take in CIFAR-10's place.
    """
    seeded = {name: claim for name, claim in claims.items() if claim.check is None}
    if variant.width is not None:
        seeded = {name: scale_width(claim, folder, variant.width) for name, claim in seeded.items()}
    overrides = [f"training.precision={variant.precision}"] if variant.precision else []
    plan = plan_claims(seeded, folder, variant.dataset or dataset, variant.seeds, root, overrides, cifar=cifar)
    plan = replace(plan, later={})
    if variant.is_for_all:
        return plan
    cheap = {key for key, job in plan.jobs.items() if task_seconds(job) <= CHEAP_SECONDS}
    return only(plan, [name for name, keys in plan.keys.items() if keys and cheap.issuperset(keys.values())])


def scale_width(claim: ClaimConfig, folder: Path, factor: float) -> ClaimConfig:
    """Return a claim whose built-in networks are wider by a factor, every layer of them; at least one unit is left."""
    arms = {}
    for arm, config in resolve_claim(folder / f"{claim.id}.yaml", claim).items():
        arms[arm] = claim.arms[arm]
        if config.built_in is not None:
            known = config.built_in.width
            widths = [max(1, int(width * factor)) for width in ([known] if isinstance(known, int) else known)]
            width = widths[0] if isinstance(known, int) else widths
            arms[arm] = merge(claim.arms[arm], {"model": {"width": width}})
    return claim.model_copy(update={"arms": arms})


Outcomes = dict[str, dict[str, dict[str, Any]]]
"""Claim to variant to its verdict and parts, as JSON has them."""


def add_outcomes(outcomes: Outcomes, variant: Variant, results: Sequence[Result]) -> None:
    """Note what came out of a variant."""
    for result in results:
        parts = [describe_part(part).model_dump(mode="json") for part in result.parts]
        entry = {"verdict": result.outcome, "failure": result.failure, "parts": parts}
        outcomes.setdefault(result.claim.id, {})[variant.label] = entry


def add_machines(outcomes: Outcomes, dataset: str) -> list[str]:
    """Note what the committed verdicts on a data set say of the claims there are outcomes of; return the machines."""
    files = committed(dataset)
    for each in files:
        for name in outcomes.keys() & each.claims.keys():
            entry = each.claims[name].model_dump(mode="json")
            outcomes[name][each.machine.title] = {"verdict": entry["verdict"], "failure": None, "parts": entry["parts"]}
    return [each.machine.title for each in files]


def is_stable(variants: Mapping[str, Mapping[str, Any]]) -> bool:
    """Say whether no two variants decide a claim differently."""
    words = {entry["verdict"] for entry in variants.values()}
    return not any(differs(one, other) for one, other in combinations(words, 2))


def describe(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a sentence in which variants a claim has which verdict."""
    groups: dict[str, list[str]] = {}
    for label, entry in variants.items():
        groups.setdefault(entry["verdict"], []).append(label)
    words = "; ".join(f"{verdict} on {', '.join(labels)}" for verdict, labels in groups.items())
    return f"stable: {words}" if is_stable(variants) else f"not stable: {words}"


def write_outcomes(results: Path, dataset: str, outcomes: Outcomes) -> Path:
    """Keep the outcomes beside the records, over those of the same claims and variants on the same data set.

    Raises:
        UserError: the folder refuses.
    """
    path, known = results / _FILE, read_outcomes(results, dataset)
    content = {
        "dataset": dataset,
        "date": datetime.date.today().isoformat(),
        "claims": known | {name: known.get(name, {}) | variants for name, variants in outcomes.items()},
    }
    try:
        write_whole(path, json.dumps(content, indent=1))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def read_outcomes(results: Path, dataset: str) -> Outcomes:
    """Return the outcomes on a data set; none where `vgt stability` was not run, or its file is damaged."""
    try:
        content = json.loads(read_file(results / _FILE, _MOST_BYTES))
        found: Outcomes = content["claims"] if content["dataset"] == dataset else {}
        for variants in found.values():
            describe(variants)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    return found
