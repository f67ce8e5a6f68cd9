"""Counts tries and failures, says how far it is, ends with one table and a JSON file."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vgtemplate.atomic import write_whole

_EVERY_SECONDS = 20.0


class Tally:
    """What was tried and what failed, by kind.

    Args:
        title: what was done, as the table says it.
        minutes: how long it may take in all.
        out: the JSON file.
    """

    def __init__(self, title: str, minutes: float, out: Path, settings: dict[str, Any]) -> None:
        self._title, self._out, self._settings = title, out, settings
        self._started = self._said = time.monotonic()
        self._deadline = self._started + 60 * minutes
        self.tries: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.failures: list[dict[str, str]] = []
        self.notes: dict[str, Any] = {}

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._deadline

    @property
    def seconds_left(self) -> float:
        """How much time is left."""
        return max(0.0, self._deadline - time.monotonic())

    def count(self, kind: str, faults: list[str], where: str) -> None:
        """Count one try of a kind, with what was wrong."""
        self.tries[kind] += 1
        self.failed[kind] += bool(faults)
        for fault in faults:
            self.failures.append({"kind": kind, "where": where, "fault": fault})
            print(f"FAILED {kind}: {where}: {fault}", flush=True)
        if time.monotonic() - self._said > _EVERY_SECONDS:
            self.say(where)

    def say(self, where: str) -> None:
        """Say how far it is."""
        self._said = time.monotonic()
        seconds = self._said - self._started
        print(f"{seconds:6.0f} s: {self.tries.total()} tries, {self.failed.total()} failures; {where[:90]}", flush=True)

    def end(self) -> int:
        """Print the table, write the JSON; return the exit code."""
        seconds = time.monotonic() - self._started
        table = Table("what", "tries", "failures", title=self._title, title_justify="left", box=box.SIMPLE)
        for kind, number in self.tries.items():
            table.add_row(kind, f"{number:,}", str(self.failed[kind]))
        table.add_row("in all", f"{self.tries.total():,}", str(self.failed.total()))
        Console(width=110).print(table)
        content = {
            "title": self._title,
            "command": " ".join(["python -m benchmarks.reliability", *sys.argv[1:]]),
            "settings": self._settings,
            "seconds": round(seconds),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "tries": dict(self.tries),
            "failed": dict(self.failed),
            "failures": self.failures,
            "notes": self.notes,
        }
        self._out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._out, json.dumps(content, indent=1) + "\n")
        print(f"{self._out}, in {seconds:.0f} s")
        return 1 if self.failures else 0
