"""`vgt report`: judge from the records on disk, write the report, track it; trains nothing."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from vgtemplate.cli.console import say
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.inputs import read_file
from vgtemplate.data import files
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli import complete
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.gallery import GalleryConfig, drawn_keys, plan_gallery, read_gallery
from vgtemplate.lab.joined import read_joined
from vgtemplate.lab.plan import Plan, choose_dataset, plan_claims
from vgtemplate.lab.result import Read, Result, judge_claim, unless_not_run
from vgtemplate.lab.stability import describe, read_outcomes
from vgtemplate.lab.verdicts import others
from vgtemplate.records import Record, make_results_folder, read_all
from vgtemplate.tracking.outbox import experiment_address, find_report
from vgtemplate.tracking.tracker import Tracker


@click.command()
@complete.dataset_option
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0, 10**9), default=0, show_default=True, help="The first of them.")
@click.option("--tracking/--no-tracking", default=True, help="Keep the report in MLflow.  [default: tracking]")
def report(dataset: str, seeds: int, first_seed: int, tracking: bool) -> None:
    """Write the report of every claim, with its verdict where there are records; train nothing."""
    folder, root = claims_dir(), files.data_root()
    results = make_results_folder(results_dir())
    claims = load_claims(folder)
    name = choose_dataset(claims, folder, dataset, root)
    plan = plan_claims(claims, folder, name, range(first_seed, first_seed + seeds), root)
    path = write(plan, claims, (), results)
    if tracking:
        track(results, say)
    say(path)


def write(plan: Plan, claims: Mapping[str, ClaimConfig], judged: Sequence[Result], results: Path) -> Path:
    """Write the report and return its path.

    Args:
        plan: its data set and seeds are the report's.
        claims: all there are, whichever the plan has.
        judged: results that are known already; others are judged from their records, "not run" where these are missing.
        results: the folder of the records; the report goes to its folder report/.
    """
    from vgtemplate.lab.report.gallery import entries, write_gallery
    from vgtemplate.lab.report.page import write_report
    from vgtemplate.lab.report.theory_page import PLACES, write_theory

    plan = _whole(plan, claims)
    known = {result.claim.id: result for result in judged}
    shown = [known.get(name) or unless_not_run(judge_claim(plan, name, results, {}), plan) for name in plan.claims]
    outcomes = read_outcomes(results, plan.dataset)
    stability = {name: describe(outcomes[name]) for name in plan.claims if outcomes.get(name)}
    links = {name: address for name in plan.claims if (address := experiment_address(results, name)) is not None}
    elsewhere = {result.claim.id: others(result.claim.id, result.dataset) for result in shown}
    gallery, read = read_gallery(claims_dir()), functools.cache(lambda keys: read_joined(results, keys))
    drawn = _gallery_records(gallery, plan, read)
    inputs = [[result.to_json() for result in shown], stability, links, elsewhere, gallery.model_dump()]
    inputs.append({figure: {name: record.key for name, record in drawn[figure].items()} for figure in drawn})
    inputs.append(sorted(path.parent.name for path in results.glob("*/record.json")))
    inputs.append({name: claim.model_dump(mode="json") for name, claim in plan.claims.items()})
    folder = results / "report"
    digest, stamp, path = _digest(inputs), folder / ".inputs", folder / "index.html"
    if _is_written(folder, stamp, digest):
        return path
    stamp.unlink(missing_ok=True)
    write_gallery(folder, gallery, drawn)
    write_theory(folder, shown, read_all(results))
    places = [*(entry.place for entry in entries(gallery, drawn)), *PLACES]
    write_report(folder, shown, read, links, stability, elsewhere, places)
    stamp.write_text(digest)
    return path


def _gallery_records(gallery: GalleryConfig, plan: Plan, read: Read) -> dict[str, dict[str, Record]]:
    """Return the records that each figure of the gallery draws, those that there are, by what it calls them."""
    jobs = plan_gallery(gallery, claims_dir(), plan, files.data_root())
    return {
        figure: {title: record for title, key in drawn_keys(config, plan, jobs).items() if (record := read((key,)))}
        for figure, config in gallery
    }


def _digest(inputs: list[Any]) -> str:
    """Return the hash of what the pages are made of: the results and the texts, and the source that draws them."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    package = Path(__file__).parents[2]
    rooms = ("lab/report", "figures", "theory", "metrics")
    sources = [path for room in rooms for path in (package / room).rglob("*") if path.suffix != ".pyc"]
    for path in sorted([*sources, package / "prediction.py", package / "text.py"]):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _is_written(folder: Path, stamp: Path, digest: str) -> bool:
    """Say whether the pages are there and made of just these inputs: drawing them takes seconds."""
    pages = (folder / name for name in ("index.html", "gallery.html", "theory.html"))
    try:
        return all(page.exists() for page in pages) and read_file(stamp, len(digest)) == digest.encode()
    except (OSError, ValueError):
        return False


def _whole(plan: Plan, claims: Mapping[str, ClaimConfig]) -> Plan:
    """Return a plan of every claim on the data set and seeds of `plan`."""
    missing = {name: claim for name, claim in claims.items() if name not in plan.claims}
    if not missing:
        return plan
    added = plan_claims(missing, claims_dir(), plan.dataset, plan.seeds, files.data_root())
    return replace(
        plan,
        claims={name: plan.claims.get(name, claim) for name, claim in claims.items()},
        jobs={**added.jobs, **plan.jobs},
        keys={**added.keys, **plan.keys},
        failures={**added.failures, **plan.failures},
        skipped={**added.skipped, **plan.skipped},
        later={**added.later, **plan.later},
    )


def track(results: Path, tell: Callable[[str], object]) -> None:
    """Send the report to MLflow unless it has it; tell in one line if that fails, `vgt track sync` sends it later."""
    found = find_report(results)
    if found is not None and (reason := Tracker(results).send(found)) is not None:
        tell(f"{reason}; the report is complete, and `vgt track sync` sends it later")
