"""`vgt train`: train the arms of one experiment, print what came out, keep the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from vgtemplate.cli.console import make_console
from vgtemplate.cli.extension import load_file, searched_settings
from vgtemplate.cli.paths import results_dir
from vgtemplate.cli.send import Sender
from vgtemplate.cli.tables import arm_table, usage
from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import Stopped
from vgtemplate.config.load import resolve_arms
from vgtemplate.data import files
from vgtemplate.jobs.job import Job, plan_arms, with_dataset
from vgtemplate.jobs.locks import is_held
from vgtemplate.jobs.run import run_job
from vgtemplate.records import damaged, drop_checkpoints, make_results_folder, read_record, record_path, write_record
from vgtemplate.text import describe_seeds
from vgtemplate.tracking.outbox import Run

if TYPE_CHECKING:
    from rich.console import Console

    from vgtemplate.config.schema import ArmConfig
    from vgtemplate.records import Record


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path), metavar="EXPERIMENT.yaml")
@click.option("--arm", "arms", multiple=True, metavar="NAME", help="Only this arm; can be repeated.  [default: all]")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="plain, batchnorm, residual, clipped.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="E.g. model.depth=20.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0, 10**9), default=0, show_default=True, help="The first of them.")
@click.option("--dataset", default=None, metavar="NAME", help="Replaces the experiment's data set.")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Number of devices.")
@click.option("--strategy", default="auto", show_default=True, metavar="NAME", help="Lightning's, e.g. ddp.")
@click.option("--tracking/--no-tracking", default=True, help="Send the runs to MLflow.  [default: tracking]")
@click.option("--fresh", is_flag=True, help="Train also what has a record.")
@click.option("--dry-run", is_flag=True, help="Print the whole configuration and its key; train nothing.")
def train(
    experiment: Path,
    arms: tuple[str, ...],
    variants: tuple[str, ...],
    overrides: tuple[str, ...],
    seeds: int,
    first_seed: int,
    dataset: str | None,
    accelerator: str,
    devices: int,
    strategy: str,
    tracking: bool,
    fresh: bool,
    dry_run: bool,
) -> None:
    """Train the arms of an experiment, all seeds of an arm at once, and print the results."""

    root = files.data_root()
    if dataset is not None:
        overrides = (f"data.dataset={dataset}", *overrides)
    configs = _choose(experiment, arms, variants, overrides, dataset or "auto", root)
    configs = {name: _with_data(config, root) for name, config in configs.items()}
    jobs = plan_arms(configs, range(first_seed, first_seed + seeds), root, experiment.stem)
    if dry_run:
        for job in jobs:
            click.echo(json.dumps({"arm": job.name, "key": job.key, "seeds": list(job.seeds)} | _plain(job), indent=1))
        return
    results = make_results_folder(results_dir())
    _train_all(jobs, results, root, (accelerator, devices, strategy), fresh, tracking)


def _plain(job: Job) -> dict[str, object]:
    return {"configuration": job.config.model_dump(mode="json")}


def _choose(
    experiment: Path,
    arms: tuple[str, ...],
    variants: tuple[str, ...],
    overrides: tuple[str, ...],
    dataset: str,
    root: Path,
) -> dict[str, ArmConfig]:
    """Return the arms asked for; those of a claim with the settings that were searched for this data set."""

    loaded = load_file(experiment)
    for name in arms:
        check_name(f"arm of {experiment}", name, loaded.arms)
    patches = searched_settings(experiment, loaded, lambda: files.resolve(dataset, root))
    configs = resolve_arms(experiment, loaded, overrides, variants, patches)
    return {name: config for name, config in configs.items() if not arms or name in arms}


def _with_data(config: ArmConfig, root: Path) -> ArmConfig:
    """Return the arm on a data set that is named rather than auto."""

    return with_dataset(config, files.resolve(config.data.dataset, root))


def _train_all(
    jobs: list[Job], results: Path, root: Path, hardware: tuple[str, int, str], fresh: bool, tracking: bool
) -> None:
    """Train job after job in this process; under ddp every process trains and the first one writes and prints."""

    # Decided before anything is trained, so that all processes of a ddp run agree on it.
    known = {job.key: None if fresh else read_record(results, job.key) for job in jobs}
    console = make_console()
    records: list[Record] = []
    is_first = True
    for job in jobs:
        record = known[job.key]
        if record is None:
            if damaged(results, job.key) and not fresh:
                console.print(escape(f"{job.name}: {results}/{job.key} is incomplete or altered; trained again"))
            train = _train_alone if hardware[1] == 1 else _train_distributed
            record, is_first = train(job, results, root, hardware, fresh)
        elif is_first:
            console.print(escape(f"{job.name}: already trained, {results}/{job.key} (--fresh trains it again)"))
        records.append(record)
    if not is_first:
        return
    first = records[0]
    title = f"{jobs[0].experiment} on {first.dataset['name']}, {describe_seeds(first.seeds)}: median \\[min, max]"
    console.print(arm_table(records, title))
    for record in records:
        folder = record_path(results, record.key)
        models = ", ".join(name for name in ("best.pt", "last.pt") if (folder / name).exists())
        words = [usage(record), f"{folder}{' with ' + models if models else ''}"]
        console.print(escape(f"{record.name}: {'; '.join(filter(None, words))}"), soft_wrap=True)
    if tracking:
        _track(jobs, results, console)


def _train_alone(
    job: Job, results: Path, root: Path, hardware: tuple[str, int, str], fresh: bool
) -> tuple[Record, bool]:
    """Train in this process, from a checkpoint if there is one; or wait for the process that is at it already."""

    if is_held(results, job.key):
        click.echo(f"{job.name}: another process is training it; waiting for that")
    elif fresh:
        drop_checkpoints(results, job.key)
    accelerator, _, strategy = hardware
    try:
        return run_job(job, results, root, accelerator, fresh, strategy, progress=True, keeps_models=True), True
    except Stopped as stopped:
        raise Stopped(f"{job.name}: {stopped}", stopped.signal_number) from None


def _train_distributed(
    job: Job, results: Path, root: Path, hardware: tuple[str, int, str], fresh: bool
) -> tuple[Record, bool]:
    """Train in every process of a distributed run; the first one writes the record."""
    from lightning_utilities.core.rank_zero import rank_zero_only

    from vgtemplate.training.models import write_models
    from vgtemplate.training.run import train_arm
    from vgtemplate.training.trainer import Hardware

    record, module = train_arm(job.name, job.config, job.seeds, root, Hardware(*hardware), progress=True)
    is_first = getattr(rank_zero_only, "rank", 0) in (0, None)
    if is_first:
        write_record(results, record, lambda folder: write_models(folder, record, module))
    return record, is_first


def _track(jobs: list[Job], results: Path, console: Console) -> None:
    """Send one run an arm to the experiment that is named like the file."""

    sender = Sender(results, True, lambda text: console.print(escape(text)))
    for run in sender.pending(Run(job.experiment, job.name, job.key) for job in jobs):
        sender.send(run)
