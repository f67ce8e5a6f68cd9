"""Short copies of a script's training, each in a process of its own, which runs the script anew under another seed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vgtemplate.config.inputs import read_input
from vgtemplate.limits import num_cores

if TYPE_CHECKING:
    from torch import nn

    from vgtemplate.doctor.prove.copies import Copy, Trial
    from vgtemplate.doctor.report import Report

_MOST_BYTES = 2**28
"""Of what a copy tells of itself."""
_APART = 1_000_003
"""So far apart are the seeds of two copies; the first has those of the script itself."""


@dataclass(frozen=True)
class Script:
    """A script as it was called, before it has run."""

    target: str
    arguments: tuple[str, ...]
    is_module: bool
    folder: Path
    environment: dict[str, str]

    @staticmethod
    def called(target: str, arguments: tuple[str, ...], is_module: bool) -> Script:
        """Return it as it would run here and now."""
        return Script(target, arguments, is_module, Path.cwd(), dict(os.environ))

    def call(self, *options: str) -> list[str]:
        """Return the command that runs it once more, under `vgt` and options."""
        module = ("-m",) if self.is_module else ()
        return [sys.executable, "-m", "vgtemplate", *options, *module, self.target, *self.arguments]

    def run(self, options: Sequence[str], scratch: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run it once more, its trackers switched off."""
        quiet = {"MLFLOW_TRACKING_URI": Path(scratch).as_uri(), "WANDB_MODE": "disabled"}
        environment = self.environment | quiet
        return subprocess.run(self.call(*options), cwd=self.folder, env=environment, text=True, check=False, **how)


def train_copies(script: Script, steps: int, copies: Sequence[Copy]) -> list[Trial]:
    """Train copies of a script, some at once where there are cores for it; one after the other on a GPU."""
    import torch

    at_once = 1 if torch.cuda.is_available() else max(1, num_cores() // 4)
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda copy: _train_copy(script, steps, copy), copies))


def _train_copy(script: Script, steps: int, copy: Copy) -> Trial:
    from vgtemplate.doctor.prove.copies import Trial, trial_from_dict

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trial.json"
        said = json.dumps({"file": str(file), **copy.to_dict()})
        options = ("diagnose", "--steps", str(steps), "--stop", "--copy", said)
        done = script.run(options, folder, capture_output=True)
        if file.is_file():
            return trial_from_dict(json.loads(read_input(file, _MOST_BYTES)))
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return Trial(failure=f"the script could not be run again ({lines[-1]})")


class CopyAtWork:
    """What makes this process train a copy: its seeds, its cure; and where it writes what became of it."""

    def __init__(self, said: str) -> None:
        """Read what `train_copies` has said; torch is loaded."""
        from vgtemplate.doctor.prove.apply import AtWork, in_bfloat16
        from vgtemplate.doctor.prove.copies import copy_from_dict, seed_all
        from vgtemplate.doctor.prove.rewrites import REWRITES, install

        content = json.loads(said)
        self._file = Path(content.pop("file"))
        copy = copy_from_dict(content)
        _shift_seeds(copy.seed * _APART)
        seed_all(0)
        self._work = AtWork(copy.cure, copy.seed)
        self._rewrites = [REWRITES[each.kind](each, each is not copy.cure) for each in copy.rewritten]
        install(self._rewrites)
        in_bfloat16(self._work.is_bfloat16).__enter__()
        self._work.start()

    def found(self, network: nn.Module) -> None:
        """This is the network; it has not run yet."""
        self._work.found(network)

    def tell(self, report: Report) -> None:
        """Write what became of the copy."""
        from vgtemplate.doctor.prove.copies import Trial

        trial = Trial.of(report, self._rewrites, self._work.failure)
        self._file.write_text(json.dumps(asdict(trial)), encoding="utf-8")


def _shift_seeds(by: int) -> None:
    """Let whoever seeds a global generator seed it with another number."""
    import torch

    for holder, name in ((torch, "manual_seed"), (torch.random, "manual_seed"), (random, "seed"), (np.random, "seed")):
        setattr(holder, name, _shifted(getattr(holder, name), by))


def _shifted(seed: Callable[..., Any], by: int) -> Callable[..., Any]:
    def instead(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], (int, np.integer)):
            args = ((int(args[0]) + by) % 2**32, *args[1:])
        return seed(*args, **kwargs)

    return instead
