"""SIGTERM and Ctrl-C at every hundredth of a command's duration: exit code, one line, nothing lost, nothing left over.

The moments before everything is loaded are met in a process that starts anew, as a user's does; those after in one that
is forked with everything loaded, since to load takes five times as long as all the rest.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.reliability import state
from benchmarks.reliability.commands import COMMANDS, Command, copy_folder, start
from benchmarks.reliability.processes import SIGNALS, Ended
from benchmarks.reliability.tally import Tally

_BAR = re.compile(r"━|\b\d+/\d+ loss ")
_YOUNG = 0.03
_LOADING = 4
"""One moment while everything is loaded for so many of those afterwards."""


@dataclass(frozen=True)
class Case:
    """A command with what it finds, what comes of it undisturbed, and how long that takes."""

    command: Command
    before: Path
    records: dict[str, str]
    outcome: dict[str, Any]
    loading: float
    """Seconds until everything is loaded."""
    working: float
    """Seconds from then on."""


@dataclass(frozen=True)
class Moment:
    """When a signal is sent."""

    share: float
    while_loading: bool
    number: int

    def __str__(self) -> str:
        phase = "of loading" if self.while_loading else "of the rest"
        return f"{signal.Signals(self.number).name} at {self.share:.3f} {phase}"


def make_case(command: Command, folder: Path, anew: bool = True) -> Case:
    """Prepare a command's folder, and run it undisturbed in a copy: forked, and before, if asked for, started anew."""
    before, whole = folder / "before", folder / "whole"
    before.mkdir(parents=True)
    command.prepare(before)
    seconds = []
    for is_anew in (anew, False):
        copy_folder(before, whole)
        begun = time.monotonic()
        ended = start(whole, command.arguments, is_anew).end()
        seconds.append(time.monotonic() - begun)
        if ended.code != 0:
            raise RuntimeError(f"{command.name}: undisturbed, exit code {ended.code}: {ended.errors}")
    outcome = state.outcome(whole)
    loading = max(0.0, seconds[0] - seconds[1])
    return Case(command, before, state.records(before / "results"), outcome, loading, seconds[1])


def spread(number: int) -> list[int]:
    """Return 0, 1, ... in an order in which any first part is spread over all of them."""
    return sorted(range(number), key=lambda index: f"{index:020b}"[::-1])


def moments(number: int) -> Iterator[Moment]:
    """Yield the moments, so that wherever it is broken off they are spread over the whole duration."""
    for place, index in enumerate(spread(number)):
        for each in SIGNALS.values():
            share = (index + 0.5) / number
            yield Moment(share, False, each)
            if place % _LOADING == 0:
                yield Moment(share, True, each)


def disturb(case: Case, folder: Path, moment: Moment) -> list[str]:
    """Send a signal at a moment, look at what is left, let the same command complete it; return what was wrong."""
    copy_folder(case.before, folder)
    process = start(folder, case.command.arguments, moment.while_loading)
    process.send_at(moment.share * (case.loading if moment.while_loading else case.working), moment.number)
    saved = state.checkpoints(folder / "results")
    ended = process.end()
    faults = [*wrong_end(ended, moment), *_lost(case, folder / "results", saved)]
    # One that stands beside its record, as where the signal came between the two, is not needed any more.
    taken_up = state.checkpoints(folder / "results") - state.records(folder / "results").keys()
    again = start(folder, case.command.arguments).end()
    if again.code != 0:
        last = again.errors.strip().splitlines()[-1:]
        return [*faults, f"the next call ended with {again.code}: {last}"]
    return [*faults, *_differing(case, folder, taken_up)]


def wrong_end(ended: Ended, moment: Moment) -> list[str]:
    """Say what is wrong with how a process ended that was sent a signal."""
    faults = [f"{process} is left over" for process in ended.left]
    if "Traceback" in ended.errors + ended.output or "Exception ignored" in ended.errors:
        faults.append(f"a traceback: {ended.errors[-600:]}")
    if ended.code == 0:  # it had ended before, or had nothing left to do but to end
        return faults
    # Before its first line is run, a process is the system's and Python's own.
    is_young = (moment.while_loading or moment.share < _YOUNG) and ended.code == -moment.number
    if ended.code != 128 + moment.number and not is_young:
        return [*faults, f"exit code {ended.code}: {ended.errors[-300:]}"]
    # The bar of a training stays as it was last; before the first step it is made of spaces.
    lines = [line for line in ended.errors.splitlines() if line.strip() and not _BAR.search(line)]
    if not is_young and (len(lines) != 1 or "stopped" not in lines[0]):
        faults.append(f"{len(lines)} lines: {ended.errors[-300:]}")
    return faults


def _lost(case: Case, results: Path, saved: set[str]) -> list[str]:
    """Say what was there before and is not any more."""
    there = state.records(results)
    faults = [f"record {key} has changed" for key, digest in case.records.items() if there.get(key) != digest]
    faults += [f"record {key} is damaged" for key, digest in there.items() if digest == "damaged"]
    kept = state.checkpoints(results) | there.keys()
    return [*faults, *(f"the checkpoint of {key} is gone" for key in saved - kept)]


def _differing(case: Case, folder: Path, taken_up: set[str]) -> list[str]:
    """Say in what the completed command differs from the undisturbed one."""
    results, faults = folder / "results", state.differences(folder, case.outcome)
    faults += [f"{scrap} is left" for scrap in state.scraps(results)]
    parts = state.parts(results)
    faults += [f"{key} began anew beside its checkpoint" for key in taken_up if parts.get(key, 1) < 2]
    return faults


def run(tally: Tally, folder: Path, names: Sequence[str], number: int) -> None:
    """Disturb each command at so many moments, by each signal, in turn."""
    cases: list[Case] = []
    for name in names:
        # What is loaded is the same for all, but for what little a command has of its own.
        case = make_case(COMMANDS[name], folder / name.replace(" ", "-"), anew=not cases)
        cases.append(replace(case, loading=cases[0].loading) if cases else case)
        tally.say(f"{name}: loads for {cases[-1].loading:.1f} s, works for {cases[-1].working:.1f} s")
    for moment in moments(number):
        for case in cases:
            if tally.is_over:
                return
            kind = f"{case.command.name}: {signal.Signals(moment.number).name}"
            tally.count(kind, disturb(case, folder / "disturbed", moment), f"{case.command.name}, {moment}")
