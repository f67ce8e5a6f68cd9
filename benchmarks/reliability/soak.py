"""Trainings of random arms, disturbed at random moments until they end: not one bit may differ from undisturbed runs.

What is tried follows from the seed: the arms, the kinds of disturbance, the shares of the duration at which they come.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability import state
from benchmarks.reliability.arms import OWN_CODE, draw_arm
from benchmarks.reliability.commands import start
from benchmarks.reliability.processes import Ended, Process
from benchmarks.reliability.tally import Tally

_MOST_KILLS = 12
"""Of one training."""
_EVERY_SECONDS = ("0", "0.05", "0.3", "1000")
"""Between two checkpoints."""
_REFUSED = 2
"""The exit code for settings that do not go together."""
Whole = tuple[dict[str, str], float, bool, list[str]]
Kill = Callable[[Process, random.Random], list[int]]
"""Disturbs a process; returns the exit codes that it may have then, none if it is to go on."""


def _sigkill(process: Process, _: random.Random) -> list[int]:
    process.send(signal.SIGKILL)
    return [-signal.SIGKILL]


def _sigterm(process: Process, _: random.Random) -> list[int]:
    process.send(signal.SIGTERM)
    return [128 + signal.SIGTERM]


def _double_ctrl_c(process: Process, draw: random.Random) -> list[int]:
    process.send(signal.SIGINT)
    process.send_at(draw.uniform(0.0, 0.1), signal.SIGINT)
    return [128 + signal.SIGINT]


def _term_then_kill(process: Process, draw: random.Random) -> list[int]:
    """As a cluster does: asked to end, and killed soon after, while it writes its checkpoint."""
    process.send(signal.SIGTERM)
    process.send_at(draw.uniform(0.0, 0.05), signal.SIGKILL)
    return [128 + signal.SIGTERM, -signal.SIGKILL]


def _pause(process: Process, draw: random.Random) -> list[int]:
    process.send(signal.SIGSTOP)
    time.sleep(draw.uniform(0.01, 0.3))
    process.send(signal.SIGCONT)
    return []


KILLS: dict[str, Kill] = {
    "SIGKILL": _sigkill,
    "SIGTERM": _sigterm,
    "SIGTERM, then SIGKILL": _term_then_kill,
    "Ctrl-C twice": _double_ctrl_c,
    "SIGSTOP, then SIGCONT": _pause,
}


def _prepare(folder: Path, arm: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "arms.yaml").write_text(json.dumps({"arms": {"arm": arm}}))
    (folder / "own_code.py").write_text(OWN_CODE)


def _whole(folder: Path, arm: dict[str, Any], arguments: tuple[str, ...]) -> Whole:
    """Train undisturbed; return the record, how long it took, whether it was trained, and what was wrong."""
    _prepare(folder, arm)
    begun = time.monotonic()
    ended = start(folder, arguments).end()
    faults = _wrong(ended, [_REFUSED])
    return state.records(folder / "results"), time.monotonic() - begun, ended.code == 0, faults


def _wrong(ended: Ended, allowed: list[int]) -> list[str]:
    faults = [f"{process} is left over" for process in ended.left]
    if "Traceback" in ended.errors or "Exception ignored" in ended.errors:
        faults.append(f"a traceback: {ended.errors[-800:]}")
    if ended.code not in (0, *allowed):
        faults.append(f"exit code {ended.code} instead of {allowed}: {ended.errors[-300:]}")
    return faults


def _try(tally: Tally, folder: Path, draw: random.Random, number: int) -> None:
    """Train one arm undisturbed, and disturbed until it has ended; compare."""
    kind, arm = draw_arm(draw)
    first, seeds = draw.randint(0, 10**6), draw.randint(1, 4)
    arguments = ("train", "arms.yaml", "--no-tracking", "--first-seed", str(first), "--seeds", str(seeds))
    expected, seconds, was_trained, faults = _whole(folder / f"{number}-whole", arm, arguments)
    tally.count("arms trained undisturbed" if was_trained else "arms refused", faults, f"{kind}: {json.dumps(arm)}")
    if not was_trained:
        return
    disturbed, every = folder / f"{number}", draw.choice(_EVERY_SECONDS)
    _prepare(disturbed, arm)
    said = f"arm {number} ({kind}, {seeds} seeds, a checkpoint every {every} s)"
    name = "none"
    for _ in range(_MOST_KILLS):
        name = draw.choice(list(KILLS))
        process = start(disturbed, arguments, more={"VGT_CHECKPOINT_SECONDS": every})
        came = process.send_at(draw.uniform(0.02, 1.0) * seconds, 0)
        allowed = KILLS[name](process, draw) if came else []
        ended = process.end()
        if came:
            tally.count(name, _wrong(ended, allowed), said)
        if ended.code == 0:
            break
    last = start(disturbed, arguments).end()
    faults = _wrong(last, [])
    if state.records(disturbed / "results") != expected:
        faults.append(f"the record differs; {json.dumps(arm)}")
    faults += [f"{scrap} is left" for scrap in state.scraps(disturbed / "results")]
    tally.count("records compared bit for bit", faults, said)


def run(tally: Tally, folder: Path, seed: int, most: int | None) -> None:
    """Disturb one random arm after the other until the time, or the number of disturbances, is reached."""
    number = 0
    while not tally.is_over and (most is None or sum(tally.tries[name] for name in KILLS) < most):
        _try(tally, folder, random.Random(f"{seed} {number}"), number)
        number += 1
