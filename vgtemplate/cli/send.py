"""Hands finished runs to MLflow, and says once if that fails; the records are complete either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from vgtemplate.records import Record
from vgtemplate.tracking.outbox import Parcel, Run, pending
from vgtemplate.tracking.tracker import Tracker


def _draw(record: Record, arm: str) -> dict[str, bytes]:
    from vgtemplate.figures.records import draw_pictures

    return draw_pictures(record, arm)


class Sender:
    """Sends runs and what is said of experiments, or nothing at all where tracking is off.

    Args:
        results: the folder of the records.
        enabled: whether to track.
        say: prints one line of plain text; called at most once per reason.
    """

    def __init__(self, results: Path, enabled: bool, say: Callable[[str], None]) -> None:
        self._results = results
        self._say = say
        self._said: set[str] = set()
        self._tracker = Tracker(results, _draw) if enabled else None

    def pending(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs that the store does not have yet; a matter of looking up files."""
        return pending(self._results, runs) if self._tracker is not None else []

    def send(self, parcel: Parcel) -> None:
        """Send a parcel, or leave it for `vgt track sync`."""
        reason = self._tracker.send(parcel) if self._tracker is not None else None
        if reason is not None and reason not in self._said:
            self._said.add(reason)
            self._say(f"{reason}; the records are complete, and `vgt track sync` sends them later")
