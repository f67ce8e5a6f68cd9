"""`vgt train`: train the arms of one experiment, print what came out, keep the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from vgtemplate.cli import complete
from vgtemplate.cli.console import make_console, print_json, say
from vgtemplate.cli.extension import load_file, searched_settings
from vgtemplate.cli.paths import results_dir
from vgtemplate.cli.send import Sender, label_of, override_words, run_of
from vgtemplate.config.catalogue import BLOCKS, check_name
from vgtemplate.config.errors import Stopped, UserError
from vgtemplate.config.load import resolve_arms
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.shipped import find_experiment
from vgtemplate.data import files
from vgtemplate.jobs.job import Job, describe_fault, plan_arms, read_job, with_dataset
from vgtemplate.jobs.leftovers import drop_checkpoints, sweep_checkpoints
from vgtemplate.jobs.locks import is_held
from vgtemplate.jobs.run import run_job
from vgtemplate.records import Record, make_results_folder, record_path, write_record
from vgtemplate.text import describe_seeds
from vgtemplate.tracking.outbox import Registration, Run

if TYPE_CHECKING:
    from rich.console import Console


class _View(NamedTuple):
    """How the runs are shown in MLflow: by whom, and in which words beside the arm's name."""

    sender: Sender
    words: list[str]

    def run(self, job: Job, seed: int | None = None) -> Run:
        return run_of(job, label_of(job, self.words), seed)


class _How(NamedTuple):
    """How the arms are trained."""

    accelerator: str
    devices: int
    strategy: str
    fresh: bool


@click.command()
@click.argument(
    "experiment",
    type=click.Path(path_type=Path),
    metavar="EXPERIMENT",
    shell_complete=complete.experiments,
    callback=lambda _, __, path: find_experiment(path),
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME",
    shell_complete=complete.arms,
    help="Only this arm; can be repeated.  [default: all]",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    shell_complete=complete.variants,
    help=f"For every arm: {', '.join(BLOCKS)}.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="E.g. model.depth=20.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0, 10**9), default=0, show_default=True, help="The first of them.")
@click.option(
    "--dataset",
    default=None,
    metavar="NAME",
    shell_complete=complete.datasets,
    help="Replaces the experiment's data set.",
)
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Number of devices.")
@click.option("--strategy", default="auto", show_default=True, metavar="NAME", help="Lightning's, e.g. ddp.")
@click.option("--tracking/--no-tracking", default=True, help="Send the runs to MLflow.  [default: tracking]")
@click.option("--register", metavar="NAME", help="Register each arm's best network in MLflow as a version of NAME.")
@click.option("--runs-per-seed", is_flag=True, help="Show each seed in MLflow as a run below its arm's.")
@click.option("--fresh", is_flag=True, help="Train also what has a record.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the arms' gradients beside theory.")
@click.option("--dry-run", is_flag=True, help="Print the whole configuration and its key; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print each arm's numbers, seed by seed, instead of a table.")
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
    register: str | None,
    runs_per_seed: bool,
    fresh: bool,
    plot: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train the arms of an experiment, all seeds of an arm at once, and print the results.

    EXPERIMENT is a YAML file, or the name of one that comes with vgtemplate, e.g. mlp-variants.
    """
    root = files.data_root()
    if not tracking and (register is not None or runs_per_seed):
        raise UserError("--register and --runs-per-seed are about MLflow; leave --no-tracking out")
    if dataset is not None:
        overrides = (f"data.dataset={dataset}", *overrides)
    configs = _choose(experiment, arms, variants, overrides, dataset or "auto", root)
    jobs = plan_arms(configs, range(first_seed, first_seed + seeds), root, experiment.stem)
    if dry_run:
        print_json([_plain(job) for job in jobs])
        return
    results, console = make_results_folder(results_dir()), make_console(stderr=as_json)
    sweep_checkpoints(results)
    words = override_words(variants, overrides)
    view = _View(Sender(results, tracking, lambda text: console.print(text, markup=False)), words)
    view.sender.plan(view.run(job) for job in jobs)
    records = _train_all(jobs, results, root, _How(accelerator, devices, strategy, fresh), console, view)
    if records is None:
        return
    _tell(jobs[0].experiment, records, results, console, as_json, plot)
    for job in jobs:
        _track(job, view, register, runs_per_seed)
    headline = f"Trained by `vgt train {experiment.name}`"
    view.sender.describe(jobs[0].experiment, headline, load_file(experiment).notes)


def _plain(job: Job) -> dict[str, object]:
    configuration = job.config.model_dump(mode="json")
    return {"arm": job.name, "key": job.key, "seeds": list(job.seeds), "configuration": configuration}


def _choose(
    experiment: Path,
    arms: tuple[str, ...],
    variants: tuple[str, ...],
    overrides: tuple[str, ...],
    dataset: str,
    root: Path,
) -> dict[str, ArmConfig]:
    """Return the arms asked for, on data sets by name; a claim's with the settings that were searched on this one."""
    loaded = load_file(experiment)
    for name in arms:
        check_name(f"arm of {experiment}", name, loaded.arms)
    patches = searched_settings(experiment, loaded, lambda: files.resolve(dataset, root))
    # What is set for the arms asked for may not fit others, whose networks have settings of their own.
    asked = {name: own for name, own in loaded.arms.items() if not arms or name in arms}
    chosen = resolve_arms(experiment, loaded.model_copy(update={"arms": asked}), overrides, variants, patches)
    return {name: with_dataset(config, files.resolve(config.data.dataset, root)) for name, config in chosen.items()}


def _train_all(
    jobs: Sequence[Job], results: Path, root: Path, how: _How, console: Console, view: _View
) -> list[Record] | None:
    """Train job after job in this process and show each run as soon as it is done.

    Under ddp every process trains, and all but the first return None.
    """
    # Decided before anything is trained, so that all processes of a ddp run agree on it.
    known = {job.key: None if how.fresh else read_job(results, job.key) for job in jobs}
    records: list[Record] = []
    is_first = True
    for job in jobs:
        record = known[job.key]
        if record is None:
            if not how.fresh and (fault := describe_fault(results, job.key)):
                console.print(f"{job.name}: {fault}", markup=False, soft_wrap=True)
            if how.devices == 1:
                record = _train_alone(job, results, root, how, view)
            else:
                record, is_first = _train_distributed(job, results, root, how)
            if is_first:
                view.sender.send(view.run(job))
        elif is_first:
            where = f"on {device}, " if (device := record.environment.get("device")) else ""
            text = f"{job.name}: already trained {where}{results}/{job.key} (--fresh trains it again)"
            console.print(text, markup=False)
        records.append(record)
    return records if is_first else None


def _tell(
    experiment: str, records: Sequence[Record], results: Path, console: Console, as_json: bool, plot: Path | None
) -> None:
    """Say what came out, as a table or as JSON, and draw it where that was asked for."""
    if as_json:
        from vgtemplate.cli.tables import describe_arm

        print_json([describe_arm(record, str(record_path(results, record.key))) for record in records])
    else:
        _show(experiment, records, results, console)
    if plot is not None:
        _draw(plot, records, console)


def _show(experiment: str, records: Sequence[Record], results: Path, console: Console) -> None:
    """Print what came out of every arm, and where its record is."""
    # The theory beside the measurements loads SciPy, which a dry run does without.
    from rich.markup import escape

    from vgtemplate.cli.tables import arm_table, logged, usage

    first = records[0]
    title = f"{escape(experiment)} on {first.dataset['name']}, {describe_seeds(first.seeds)}: median \\[min, max]"
    console.print(arm_table(records, title, console.width))
    for record in records:
        folder = record_path(results, record.key)
        models = ", ".join(name for name in ("best.pt", "last.pt") if (folder / name).exists())
        words = [logged(record), usage(record), f"{folder}{' with ' + models if models else ''}"]
        console.print(f"{record.name}: {'; '.join(filter(None, words))}", soft_wrap=True, markup=False)
        for text in record.environment.get("not_seen", []):
            console.print(f"note: {record.name}: {text}", soft_wrap=True, markup=False)


def _draw(path: Path, records: Sequence[Record], console: Console) -> None:
    from vgtemplate.figures.arms import draw_profiles
    from vgtemplate.figures.theory import write_figure

    write_figure(path, draw_profiles(records))
    console.print(f"drawn: {path}", markup=False, highlight=False)


def _train_alone(job: Job, results: Path, root: Path, how: _How, view: _View) -> Record:
    """Train in this process, from a checkpoint if there is one; or wait for the process that is at it already."""
    if is_held(results, job.key):
        say(f"{job.name}: another process is training it; waiting for that", err=True)
    elif how.fresh:
        drop_checkpoints(results, job.key)
    try:
        with view.sender.live(job, view.run(job)) as live:
            return run_job(
                job,
                results,
                root,
                how.accelerator,
                how.fresh,
                how.strategy,
                progress=True,
                keeps_models=True,
                tell=None if live is None else live.tell,
            )
    except Stopped as stopped:
        raise Stopped(f"{job.name}: {stopped}", stopped.signal_number) from None


def _train_distributed(job: Job, results: Path, root: Path, how: _How) -> tuple[Record, bool]:
    """Train in every process of a distributed run; the first one writes the record."""
    from lightning_utilities.core.rank_zero import rank_zero_only

    from vgtemplate.training.models import write_models
    from vgtemplate.training.run import train_arm
    from vgtemplate.training.trainer import Hardware

    hardware = Hardware(how.accelerator, how.devices, how.strategy)
    record, module = train_arm(job.name, job.config, job.seeds, root, hardware, progress=True)
    is_first = getattr(rank_zero_only, "rank", 0) in (0, None)
    if is_first:
        write_record(results, record, lambda folder: write_models(folder, record, module))
    return record, is_first


def _track(job: Job, view: _View, register: str | None, runs_per_seed: bool) -> None:
    """Send what the store does not have yet of an arm in the experiment that is named like the file."""
    for run in view.sender.pending([view.run(job)]):
        view.sender.send(run)
    if runs_per_seed:
        for run in view.sender.pending(view.run(job, seed) for seed in job.seeds):
            view.sender.send(run)
    if register is not None:
        view.sender.send(Registration(job.experiment, job.name, job.key, register))
