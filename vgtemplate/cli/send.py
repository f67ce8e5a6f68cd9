"""Hands runs to MLflow, and says once if that fails; the records are complete either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vgtemplate.data import files
from vgtemplate.jobs.job import Job
from vgtemplate.records import Record
from vgtemplate.text import describe_seeds
from vgtemplate.tracking.networks import Network
from vgtemplate.tracking.outbox import Description, Parcel, Run, description_of, pending, remember
from vgtemplate.tracking.runs import Extras
from vgtemplate.tracking.tracker import Tracker
from vgtemplate.tracking.words import differing_parameters

if TYPE_CHECKING:
    from vgtemplate.tracking.live import LiveRun


def _draw(record: Record, arm: str) -> dict[str, bytes]:
    from vgtemplate.figures.records import draw_pictures

    return draw_pictures(record, arm)


def _network(record: Record, folder: Path) -> Network | None:
    from vgtemplate.training.served import serve

    served = serve(record, folder, files.data_root())
    if served is None:
        return None
    return Network(served.module, served.inputs, served.outputs, served.metadata, served.requirements)


EXTRAS = Extras(_draw, _network)
"""What goes with every run beside its numbers."""


def run_of(job: Job, label: str = "", seed: int | None = None) -> Run:
    """Return the run of a job in the experiment that asked for it, or of one of its seeds."""
    return Run(job.experiment, job.name, job.key, seed, label)


def label_of(job: Job, words: Iterable[str]) -> str:
    """Name a run: the arm, how it was changed on the command line, and its seeds, if they are not the usual ten."""
    seeds = [] if job.seeds == tuple(range(10)) else [f"({describe_seeds(job.seeds)})"]
    return " ".join([job.name, *words, *seeds])


def override_words(variants: Iterable[str], overrides: Iterable[str]) -> list[str]:
    """Return what was changed on the command line in few words: "residual", "depth=50"."""
    pairs = [(key.strip().rpartition(".")[2], value.strip()) for key, _, value in map(_split, overrides)]
    return [*variants, *(value if key == "dataset" else f"{key}={value}" for key, value in pairs)]


def _split(override: str) -> tuple[str, str, str]:
    return override.partition("=")


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
        self._tracker = Tracker(results, EXTRAS) if enabled else None

    def plan(self, runs: Iterable[Run]) -> None:
        """Note what is to be sent once it is trained, so that `vgt track sync` knows of it whatever happens here."""
        if self._tracker is not None:
            try:
                for run in runs:
                    remember(self._results, run)
            except OSError as error:
                self._tell(f"{self._results / 'tracking'}: cannot be written ({error.strerror})")

    def pending(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs that the store does not have yet; a matter of looking up files."""
        return pending(self._results, runs) if self._tracker is not None else []

    def live(self, job: Job, run: Run) -> AbstractContextManager[LiveRun | None]:
        """Return what shows a training while it goes on."""
        if self._tracker is None or self._tracker.failure is not None:
            return nullcontext()
        from vgtemplate.tracking.live import LiveRun

        return LiveRun(self._results, run, job.config.model_dump(mode="json"), job.seeds)

    def send(self, parcel: Parcel) -> None:
        """Send a parcel, or leave it for `vgt track sync`."""
        reason = self._tracker.send(parcel) if self._tracker is not None else None
        if reason is not None:
            self._tell(reason)

    def describe(self, experiment: str, headline: str, text: str = "") -> None:
        """Say of an experiment what it is, unless it has a verdict, which stays, and in what its runs differ."""
        if self._tracker is not None:
            said = description_of(self._results, experiment)
            kept = said if said is not None and said.tags else Description(experiment, headline, text)
            self.send(replace(kept, parameters=differing_parameters(self._results, experiment)))

    def _tell(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            self._say(f"{reason}; the records are complete, and `vgt track sync` sends them later")
