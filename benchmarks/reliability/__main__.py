"""`python -m benchmarks.reliability`: disturb what can be disturbed, count what broke; exit code 1 if anything did."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from benchmarks.reliability import signals as signals_
from benchmarks.reliability.commands import COMMANDS
from benchmarks.reliability.processes import load_all
from benchmarks.reliability.tally import Tally

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


if __name__ == "__main__":
    main()
