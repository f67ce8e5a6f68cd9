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
    "train experiments/mlp-variants.yaml --arm plain --variant plain --seeds 1 --dataset synthetic --no-tracking "
    "--set training.steps=1 --set training.evaluate=false"
)
BY_HAND = (
    "import torch; layer = torch.nn.Linear(3, 3); rule = torch.optim.SGD(layer.parameters(), 0.1); "
    "layer(torch.ones(1, 3)).sum().backward(); rule.step()"
)
VGT = ("-m", "vgtemplate")
COMMANDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("vgt --help", "ours"): (*VGT, "--help"),
    ("vgt claims", "ours"): (*VGT, "claims"),
    ("the first step", "vgt train, one seed"): (*VGT, *FIRST_STEP.split()),
    ("the first step", "torch alone: one layer, SGD"): ("-c", BY_HAND),
    ("the first step", "import pytorch_lightning, nothing else"): ("-c", "import pytorch_lightning"),
}


def run_python(arguments: tuple[str, ...], results: str) -> float:
    """Run Python in a process of its own; return its seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    started = time.perf_counter()
    environment = os.environ | {"VGT_RESULTS_DIR": results}
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(options: Options) -> list[Row]:
    """Return one row per command: its seconds."""
    rows = []
    for (work, contestant), arguments in COMMANDS.items():
        options.watch(f"{work}: {contestant}")
        seconds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as results:
                seconds.append(run_python(arguments, results))
        rows.append(Row(work, contestant, {"s": Spread.of(seconds)}))
    return rows
