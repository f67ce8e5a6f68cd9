"""Every parser fed by a fuzzer that looks at which code is reached: only a UserError may come out, in bounded time.

Atheris is no dependency: `pip install atheris` (Python 3.11 to 3.13) brings it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability.tally import Tally
from vgtemplate.config.errors import UserError

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_REACHED = re.compile(r"cov: (\d+)")


def require_atheris() -> None:
    """Raise UserError unless the fuzzer is installed."""
    if importlib.util.find_spec("atheris") is None:
        raise UserError("atheris is not installed; `pip install atheris` brings it (Python 3.11 to 3.13)")


def _look(name: str, folder: Path, code: int) -> tuple[int, int, list[str]]:
    """Return how many inputs a parser was fed, how much of the code they reached, and what was wrong."""
    noted, log = folder / "failures.json", (folder / "log").read_text(errors="replace")
    failures = json.loads(noted.read_text()) if noted.exists() else {}
    faults = [f"{where}: {found['text']}; input {found['input'][:400]}" for where, found in failures.items()]
    if code != 0:
        artifact = next((path.read_bytes().hex()[:400] for path in folder.glob("*-*") if path.is_file()), "")
        faults.append(f"exit code {code}: {log[-400:]}; input {artifact}")
    executed, reached = _EXECUTED.findall(log), _REACHED.findall(log)
    return int(executed[-1]) if executed else 0, int(reached[-1]) if reached else 0, faults


def run(tally: Tally, folder: Path, names: Sequence[str]) -> None:
    """Fuzz one parser after the other, each for the same time."""
    seconds = max(5, int(tally.seconds_left / len(names)))
    call = [sys.executable, "-m", "benchmarks.reliability.fuzzed", str(folder), str(seconds), *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (
        (folder / "log").open("w+") as log,
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        for line in process.stdout or ():
            name, code = json.loads(line)
            executed, reached, faults = _look(name, folder / name, code)
            tally.count(name, faults, name)
            tally.tries[name], tally.failed[name] = executed, len(faults)
            tally.notes[name] = {"seconds": seconds, "places reached": reached}
            tally.say(f"{name}: {executed:,} inputs in {seconds} s, {reached} places of the code reached")
        if process.wait() != 0:
            log.seek(0)
            raise RuntimeError(log.read()[-1000:])
