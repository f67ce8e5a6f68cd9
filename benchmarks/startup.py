"""How long a person waits before anything happens; whole processes, cold in each but for the system's file cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.clock import Spread
from benchmarks.suite import Options, Row

FIRST_STEP = (
    "train experiments/variants-mlp.yaml --arm plain --variant plain --seeds 1 --dataset synthetic --no-tracking "
    "--set training.steps=1 --set training.evaluate=false"
)
COMMANDS = {
    "vgt --help": "--help",
    "vgt claims": "claims",
    "vgt train, one step of one seed": FIRST_STEP,
}


def run_vgt(arguments: list[str], results: str) -> float:
    """Run the command line in a process of its own; return its seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    started = time.perf_counter()
    environment = os.environ | {"VGT_RESULTS_DIR": results}
    subprocess.run([sys.executable, "-m", "vgtemplate", *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(options: Options) -> list[Row]:
    """Return one row a command: its seconds."""
    rows = []
    for name, line in COMMANDS.items():
        options.watch(name)
        seconds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as results:
                seconds.append(run_vgt(line.split(), results))
        rows.append(Row(name, "ours", {"s": Spread.of(seconds)}))
    return rows
