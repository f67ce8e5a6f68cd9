"""Shows a training in MLflow while it goes on, from a thread of its own, so that a slow store slows nothing down."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vgtemplate.tracking.outbox import Run
from vgtemplate.tracking.points import CURVES, Point
from vgtemplate.tracking.tracker import Tracker

_PATIENCE = 5.0
"""Seconds that the end of a training waits for what is still to be sent; its record will have it all."""


class LiveRun:
    """The run of an arm that is being trained; it is begun with the first numbers that it is told.

    A run that was stopped before goes on. When the training has ended, `Tracker.send` completes it from the record.

    Args:
        results: the folder of the records.
        configuration: the arm's.
    """

    def __init__(self, results: Path, run: Run, configuration: Mapping[str, Any], seeds: tuple[int, ...]) -> None:
        self._tracker, self._run = Tracker(results), run
        self._settings = configuration, seeds
        self._started = int(time.time() * 1000)
        self._told: queue.SimpleQueue[list[Point] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._identifier: str | None = None

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Take curves' newest values: by name, at a training step."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._told.put([Point(f"{CURVES}/{name}", step, value) for name, value in values.items()])

    def _work(self) -> None:
        self._identifier = self._tracker.open_run(self._run, *self._settings, self._started)
        ended = self._identifier is None
        while not ended:
            points: list[Point] = []
            batch = self._told.get()
            while batch is not None:
                points += batch
                if self._told.empty():
                    break
                batch = self._told.get()
            ended = batch is None
            if points:
                self._tracker.add_points(str(self._identifier), points)

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._told.put(None)
        self._thread.join(_PATIENCE)
        if kind is not None and self._identifier is not None:
            self._tracker.stop_run(self._identifier)
