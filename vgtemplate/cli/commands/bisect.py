"""`vgt bisect nan TARGET`: which step, module and sample put in the first value that is not finite."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vgtemplate.cli import complete
from vgtemplate.cli.console import say
from vgtemplate.cli.copies import Script
from vgtemplate.cli.extension import load_file
from vgtemplate.cli.paths import results_dir
from vgtemplate.cli.script import WhenImported, check_target, exit_code, run_script
from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import Enough, UserError
from vgtemplate.config.inputs import read_input
from vgtemplate.config.load import resolve_arms
from vgtemplate.config.shipped import find_experiment
from vgtemplate.data import files
from vgtemplate.jobs.job import Job, plan_arms, with_dataset
from vgtemplate.jobs.leftovers import checkpoint_path
from vgtemplate.text import write_count

if TYPE_CHECKING:
    from vgtemplate.doctor.hunt import Culprit
    from vgtemplate.doctor.passes import Pass, Seen

_MOST_BYTES = 2**28
"""Of what a run of the script tells of itself."""


class _OptionsFirst(click.Command):
    """Leaves what stands behind a script to the script; behind an experiment options are ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_interspersed_args = not ("-m" in args or any(_is_script(each) for each in args))
        return super().parse_args(ctx, args)


def _is_script(target: str) -> bool:
    return target.endswith(".py") or (Path(target) / "__main__.py").is_file()


@click.group()
def bisect() -> None:
    """Find the step, the module and the sample at which a training went wrong."""


@bisect.command(cls=_OptionsFirst, context_settings={"ignore_unknown_options": True})
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME",
    shell_complete=complete.arms,
    help="Of an experiment: only this arm.  [default: all]",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="E.g. optimiser.lr=10.")
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
@click.option("-m", "is_module", is_flag=True, help="TARGET is a module, as of python -m.")
@click.option("--pass", "said", hidden=True)
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def nan(target: str, arguments: tuple[str, ...], is_module: bool, said: str | None, **options: Any) -> None:
    """Find the first value that is not finite: NaN or infinity, in a loss, a gradient or a weight.

    TARGET is an experiment of `vgt train`, which is trained again from its last checkpoint, or from the start; or a
    script, which is run twice: once to find the step, once to watch it. The exit code is 1 where something was found,
    0 where nothing was, 2 where it could not be run.
    """
    if not is_module and not _is_script(target):
        if arguments:
            raise UserError(f"{arguments[0]}: no option of an experiment; see vgt bisect nan --help")
        sys.exit(_bisect_experiment(find_experiment(Path(target)), **options))
    check_target(target, is_module)
    if said is not None:
        _run_pass(target, arguments, is_module, said)
    sys.exit(_bisect_script(Script.called(target, arguments, is_module)))


def _bisect_experiment(
    experiment: Path,
    arms: tuple[str, ...],
    overrides: tuple[str, ...],
    seeds: int,
    first_seed: int,
    dataset: str | None,
    accelerator: str,
) -> int:
    root, loaded = files.data_root(), load_file(experiment)
    for name in arms:
        check_name(f"arm of {experiment}", name, loaded.arms)
    asked = {name: own for name, own in loaded.arms.items() if not arms or name in arms}
    if dataset is not None:
        overrides = (f"data.dataset={dataset}", *overrides)
    chosen = resolve_arms(experiment, loaded.model_copy(update={"arms": asked}), overrides, (), {})
    configs = {name: with_dataset(config, files.resolve(config.data.dataset, root)) for name, config in chosen.items()}
    jobs = plan_arms(configs, range(first_seed, first_seed + seeds), root, experiment.stem)
    return max(_bisect_arm(job, root, accelerator) for job in jobs)


def _bisect_arm(job: Job, root: Path, accelerator: str) -> int:
    from vgtemplate.training.bisect import bisect_arm
    from vgtemplate.training.trainer import Hardware

    found = bisect_arm(job.config, job.seeds, root, Hardware(accelerator), checkpoint_path(results_dir(), job.key))
    since = f" (from the checkpoint at step {found.first_step})" if found.first_step else ""
    bad = found.bad
    if bad is None:
        say(f"{job.name}: no value was NaN or infinite in {write_count(found.steps, 'step')}{since}")
        return 0
    whose = f"seed{'s' if len(found.seeds) > 1 else ''} {', '.join(map(str, found.seeds[:8]))}"
    say(f"{job.name}: {bad.what} is not finite at step {bad.step}, {whose}{since}")
    _say_culprit(bad.culprit, list(found.indices), "the training split")
    if not bad.is_same:
        say("note: the step did not come out the same when it was looked at once more")
    return 1


def _say_culprit(culprit: Culprit | None, indices: list[int], where: str) -> None:
    if culprit is None:
        say("no function was seen to put it out: the optimiser's own step did, or what no function of torch computes")
        return
    place = ", ".join(filter(None, [culprit.place, f"module {culprit.module}" if culprit.module else ""]))
    what = {"forward": "to put out", "backward": "whose derivative is"}[culprit.phase]
    say(f"{culprit.phase}: {culprit.function}() {f'({place}) ' if place else ''}is the first {what} {culprit.value}")
    if culprit.is_data:
        say("its input held NaN already, and comes from the data")
    if culprit.samples:
        say(f"samples {_few(culprit.samples)} of the batch" + (f", {_few(indices)} of {where}" if indices else ""))


def _few(numbers: Any) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown} and {len(numbers) - 8} more" if len(numbers) > 8 else shown


def _bisect_script(script: Script) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        first = _pass(script, scratch, None)
        if not first["bad"]:
            say(f"{script.target}: no value was NaN or infinite in {write_count(first['steps'], 'step')}")
            return 0
        say(f"{script.target}: {first['bad']} is not finite at step {first['steps']}")
        second = _pass(script, scratch, int(first["steps"]))
    if not second["bad"]:
        say("when it was run again everything was finite: it is not the same in each run (set its seeds)")
        return 1
    from vgtemplate.doctor.hunt import Culprit

    culprit = second["culprit"]
    _say_culprit(None if culprit is None else Culprit(**culprit), second["indices"], "the data set")
    if repr(first["losses"]) != repr(second["losses"]):
        say(f"note: the two runs differ; the second one was not finite at step {second['steps']} (set its seeds)")
    return 1


def _pass(script: Script, scratch: str, watched: int | None) -> dict[str, Any]:
    file = Path(scratch) / f"pass-{watched}.json"
    options = ("bisect", "nan", "--pass", json.dumps({"file": str(file), "watched": watched}))
    done = script.run(options, scratch, **({} if watched is None else {"capture_output": True}))
    if not file.is_file():
        why = "it failed" if done.returncode else "no optimiser has stepped, or it uses no torch"
        raise UserError(f"{script.target}: {why}: there is nothing to look at (exit code {done.returncode})")
    content: dict[str, Any] = json.loads(read_input(file, _MOST_BYTES))
    return content


def _run_pass(target: str, arguments: tuple[str, ...], is_module: bool, said: str) -> None:
    """Be one of the two runs of a script."""
    content, running = json.loads(said), []

    def tell(seen: Seen) -> None:
        Path(content["file"]).write_text(json.dumps(asdict(seen)), encoding="utf-8")

    def begin() -> None:
        from vgtemplate.doctor.passes import Pass

        run: Pass = Pass(content["watched"], tell)
        run.start()
        running.append(run)

    WhenImported("torch", begin)
    error = run_script(target, arguments, is_module)
    if isinstance(error, Enough):
        sys.exit(0)
    if running and running[0].seen.losses:
        running[0].end()
    sys.exit(exit_code(error))
