"""`python -m benchmarks.reliability`: disturb what can be disturbed, count what broke; exit code 1 if anything did."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from benchmarks.reliability import faults as faults_
from benchmarks.reliability import fuzz as fuzz_
from benchmarks.reliability import signals as signals_
from benchmarks.reliability import soak as soak_
from benchmarks.reliability.commands import COMMANDS
from benchmarks.reliability.processes import load_all
from benchmarks.reliability.tally import Tally
from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import UserError

FAULTED = ("train", "train and send", "reproduce", "track sync")
OUT = Path("results/reliability")
MINUTES = click.option("--minutes", type=click.FloatRange(0.1), default=10.0, show_default=True, help="At most.")
SEED = click.option("--seed", type=int, default=0, show_default=True, help="Decides what is tried.")


@click.group()
def main() -> None:
    """Try to break vgtemplate, for so many minutes; print a table of tries and failures, and write it as JSON."""


@main.command()
@MINUTES
@click.option("--moments", type=click.IntRange(1, 1000), default=100, show_default=True, help="Of each duration.")
@click.option("--command", "names", multiple=True, type=click.Choice(list(COMMANDS)), help="[default: all]")
def signals(minutes: float, moments: int, names: tuple[str, ...]) -> None:
    """Send SIGTERM and Ctrl-C at every hundredth of the commands' durations."""
    load_all()
    tally = Tally("a signal, then the same command again", minutes, OUT / "signals.json", {"moments": moments})
    with tempfile.TemporaryDirectory() as folder:
        signals_.run(tally, Path(folder), names or tuple(COMMANDS), moments)
    sys.exit(tally.end())


@main.command()
@MINUTES
@SEED
@click.option("--kills", type=click.IntRange(1), default=None, help="End after so many.  [default: when time is over]")
def soak(minutes: float, seed: int, kills: int | None) -> None:
    """Kill, stop and interrupt trainings of random arms at random: not one bit of a record may differ."""
    load_all()
    tally = Tally("a training of a random arm, disturbed at random", minutes, OUT / "soak.json", {"seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        soak_.run(tally, Path(folder), seed, kills)
    sys.exit(tally.end())


@main.command()
@MINUTES
@click.option("--command", "names", multiple=True, type=click.Choice(list(COMMANDS)), help="[default: four of them]")
def faults(minutes: float, names: tuple[str, ...]) -> None:
    """Fail the n-th system call that writes, for every n, as a full, broken or read-only disk does."""
    tally = Tally("a system call that fails, then the same command again", minutes, OUT / "faults.json", {})
    with tempfile.TemporaryDirectory() as folder:
        faults_.run(tally, Path(folder), names or FAULTED)
    sys.exit(tally.end())


@main.command()
@MINUTES
@click.option("--target", "names", multiple=True, help="One parser.  [default: all]")
def fuzz(minutes: float, names: tuple[str, ...]) -> None:
    """Feed every parser with what a fuzzer makes up, each for an equal share of the minutes."""
    fuzz_.require_atheris()
    # Imports what it reads with, torch among it.
    from benchmarks.reliability.targets import TARGETS

    for name in names:
        check_name("target", name, TARGETS)
    tally = Tally("inputs that a fuzzer made up", minutes, OUT / "fuzz.json", {})
    with tempfile.TemporaryDirectory() as folder:
        fuzz_.run(tally, Path(folder), names or tuple(TARGETS))
    sys.exit(tally.end())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
