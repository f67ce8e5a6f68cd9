"""`python -m benchmarks`: run suites, print their tables, write their figures as JSON."""

from __future__ import annotations

import importlib
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.clock import Spread, number
from benchmarks.figures import draw_scaling
from benchmarks.suite import Options, Row
from vgtemplate.atomic import write_whole
from vgtemplate.training.environment import describe_environment

SUITES = {
    "throughput": "training steps per second, against other ways to train",
    "looking": "what probes cost, against other loggers",
    "startup": "how long a person waits",
    "scaling": "time and memory against replicas, depth, data",
    "device": "many replicas, compiled, CUDA graphs, bfloat16",
    "reproduction": "every claim, cold (half an hour)",
}
MINUTES = ("throughput", "looking", "startup", "scaling")
"""What runs where none is named."""


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cell(value: Spread | float | None) -> str:
    return "" if value is None else number(value) if isinstance(value, float) else escape(str(value))


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return the rows as a table, the name of the work above its contestants."""
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    made = Table("", *names, title=escape(title), title_justify="left", box=box.SIMPLE)
    before = None
    for row in rows:
        if row.work != before:
            made.add_row(f"[bold]{escape(row.work)}[/bold]")
        made.add_row(f"  {escape(row.contestant)}", *(_cell(row.values.get(name)) for name in names))
        before = row.work
    return made


def write(path: Path, suite: str, options: Options, rows: Sequence[Row]) -> None:
    """Write a suite's rows with everything that they depend on."""
    settings = {
        "device": options.device,
        "replicas": options.replicas,
        "rounds": options.rounds,
        "quick": options.quick,
    }
    content: dict[str, Any] = {
        "suite": suite,
        "settings": settings,
        "processor": processor(),
        "environment": describe_environment(torch.device(options.device)),
        "rows": [row.to_json() for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice(list(SUITES)), metavar="[SUITE]...")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of every contestant.")
@click.option("--replicas", type=click.IntRange(1, 4096), default=10, show_default=True, help="Of our populations.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="Tiny work: shows that it runs; the figures mean nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
def main(
    suites: tuple[str, ...], device: str, threads: int, replicas: int, rounds: int, quick: bool, out: Path
) -> None:
    """Time the same work done by us and by others, in turn, and compare round by round.

    Suites: throughput, looking, startup and scaling run where none is named; device and reproduction must be.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("there is no CUDA device here", param_hint="--device")
    torch.set_num_threads(threads)
    console = Console()
    for suite in suites or MINUTES:
        started = time.perf_counter()
        with console.status(suite) as status:
            options = Options(
                device,
                replicas,
                rounds,
                quick,
                lambda text, name=suite: status.update(f"{name}: {text}"),  # type: ignore[misc]
            )
            rows: list[Row] = importlib.import_module(f"benchmarks.{suite}").measure(options)
        path = out / f"{suite}-{device}.json"
        write(path, suite, options, rows)
        where = f"{processor() if device == 'cpu' else torch.cuda.get_device_name()}, {threads} thread(s)"
        console.print(table(f"{SUITES[suite]}: {where}; median [least, most] of {rounds} rounds", rows))
        if suite == "scaling":
            draw_scaling(rows, where, path.with_suffix(".png"))
        console.print(f"{path}, in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
