"""From the records of a run to the verdicts that are kept in the repository."""

from __future__ import annotations

import datetime
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgtemplate.config.errors import UserError
from vgtemplate.lab.environments import tidy
from vgtemplate.lab.judge import OPEN, PartVerdict
from vgtemplate.lab.plan import Plan
from vgtemplate.lab.result import Result
from vgtemplate.lab.verdicts import ClaimEntry, Machine, PartEntry, Verdicts
from vgtemplate.records import Record, read_record
from vgtemplate.text import Plain, describe_seeds, plain_number

_QUANTILES = {"p05": 0.05, "p25": 0.25, "p75": 0.75, "p95": 0.95}


def is_final(result: Result) -> bool:
    """Say whether a claim was judged to its end."""
    return result.verdict is not None and result.outcome != OPEN and not result.is_provisional


def gather(plan: Plan, judged: Sequence[Result], results: Path) -> Verdicts:
    """Return the verdicts of the claims that were judged to their end, with the machine and the versions of their run.

    Raises:
        UserError: there are none, or their records are of several machines or do not say of which.
    """
    final = [result for result in judged if is_final(result)]
    keys = dict.fromkeys(key for result in final for keys in result.keys.values() for key in keys)
    records = [record for key in keys if (record := read_record(results, key)) is not None]
    trained = [record for record in records if record.seeds]
    if not trained:
        raise UserError(f"{results}: no claim with seeds was judged to its end on {plan.dataset}; run `make decide`")
    return Verdicts(
        date=datetime.date.today().isoformat(),
        dataset=plan.dataset,
        setting=plan.setting,
        machine=_one_machine(trained, results),
        versions=_versions(trained),
        commits=sorted({_commit(record.environment) for record in trained}),
        networks=sum(len(record.seeds) for record in trained),
        seconds=round(sum(record.wall_seconds for record in records), 1),
        claims={result.claim.id: _claim(result) for result in final},
    )


def _claim(result: Result) -> ClaimEntry:
    assert result.deciding is not None
    parts = [describe_part(part) for part in result.parts]
    return ClaimEntry(kind=result.claim.kind, verdict=result.outcome, deciding=result.deciding.title, parts=parts)


def describe_part(part: PartVerdict) -> PartEntry:
    """Return a part as it is kept: its counts, and the spread of its effect."""
    known = [effect for effect in part.effects if effect == effect]
    spread: dict[str, Plain] = dict.fromkeys(("lowest", "median", "highest", *_QUANTILES))
    if known:
        spread = {name: _rounded(value) for name, value in _spread(known).items()}
    return PartEntry.model_validate(
        {
            "role": part.role,
            "title": part.title,
            "threshold": part.threshold,
            "verdict": part.verdict,
            "cleared": part.cleared,
            "count": len(part.effects),
            "seeds": describe_seeds(part.seeds) if part.seeds else "",
            "without_value": len(part.effects) - len(known),
            **spread,
        }
    )


def _spread(known: Sequence[float]) -> dict[str, float]:
    # Quantiles are values that occur: between a number and an infinity nothing can be interpolated.
    quantiles = {name: float(np.quantile(known, share, method="inverted_cdf")) for name, share in _QUANTILES.items()}
    return {"lowest": min(known), "median": statistics.median(known), "highest": max(known), **quantiles}


def _rounded(value: float) -> Plain:
    return plain_number(float(f"{value:.5g}"))


def _versions(records: Iterable[Record]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for record in records:
        for name, version in dict(record.environment.get("versions") or {}).items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _commit(environment: Mapping[str, Any]) -> str:
    return str(environment.get("commit") or "unknown")[:12] + (" (changed)" if environment.get("dirty") else "")


def _one_machine(records: Sequence[Record], results: Path) -> Machine:
    machines = {machine.name: machine for record in records for machine in [_machine(record, results)]}
    if len(machines) > 1:
        raise UserError(
            f"{results}: its records are of {len(machines)} machines ({', '.join(sorted(machines))}); verdicts are "
            "kept machine by machine: judge the claims with a results folder of its own (VGT_RESULTS_DIR)"
        )
    return next(iter(machines.values()))


def _machine(record: Record, results: Path) -> Machine:
    environment = record.environment
    processor = environment.get("processor")
    if not processor:
        raise UserError(f"{results}/{record.key}: this record does not say on which processor it was made")
    model, capability = processor["model"], processor["capability"]
    if environment.get("device") != "cpu":
        model, capability = str(environment.get("device_name")), ""
    return Machine.model_validate(
        dict(processor) | {"name": slug(f"{model} {capability}"), "model": tidy(model), "capability": capability}
    )


def slug(name: str) -> str:
    """Return a name for a file: "Intel(R) Xeon(R) Platinum 8488C AVX512" is intel-xeon-platinum-8488c-avx512."""
    return "-".join(re.findall(r"[a-z0-9]+", tidy(name).lower())) or "unknown"
