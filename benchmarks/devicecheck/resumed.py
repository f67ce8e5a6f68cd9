"""`python -m benchmarks.devicecheck.resumed ACCELERATOR`: a training that is killed ends with the same record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vgtemplate.records import read_record

STEPS = 2000


def command(folder: Path, accelerator: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that trains into a folder, and its environment."""
    settings = [f"training.steps={STEPS}", "training.validate_every=100", "model.depth=10"]
    sets = [word for each in settings for word in ("--set", each)]
    words = ["train", "mlp-variants", "--arm", "batchnorm", "--seeds", "3", *sets]
    ways = ["--accelerator", accelerator, "--no-tracking"]
    environment = {**os.environ, "VGT_RESULTS_DIR": str(folder), "VGT_CHECKPOINT_SECONDS": "0.5"}
    return [sys.executable, "-m", "vgtemplate", *words, *ways], environment


def series(folder: Path) -> dict[str, np.ndarray]:
    """Return what the record in a folder holds."""
    (record,) = filter(None, (read_record(folder, each.name) for each in folder.iterdir() if each.is_dir()))
    return dict(record.series) | {"weights": np.array(record.weights_sha256)}


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def main(accelerator: str) -> None:
    """Train once undisturbed, once killed three times; print how the two compare."""
    with tempfile.TemporaryDirectory() as temporary:
        whole, killed = Path(temporary) / "whole", Path(temporary) / "killed"
        words, environment = command(whole, accelerator)
        started = time.perf_counter()
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        words, environment = command(killed, accelerator)
        kills = 0
        for share in (0.5, 0.65, 0.8):
            process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
            try:
                process.wait(share * seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
        one, other = series(whole), series(killed)
        differ = [name for name in one if not _equal(one[name], other[name])]
        print(f"series that differ after {kills} kills\t{len(differ)} of {len(one)} {' '.join(differ)}")


if __name__ == "__main__":
    main(sys.argv[1])
