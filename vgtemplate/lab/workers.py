"""Runs jobs on an engine and yields each as it ends; a job whose worker is lost is run once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from vgtemplate.jobs.leftovers import drop_checkpoints, sweep_checkpoints
from vgtemplate.jobs.locks import is_held
from vgtemplate.lab.cost import task_megabytes, task_seconds
from vgtemplate.lab.crew import Crew, Ended, Place, Processes
from vgtemplate.lab.plan import Task
from vgtemplate.lab.shares import Shares
from vgtemplate.lab.worker import How

_SMALL = 40
"""A job is small if this many of its kind fit in the room."""
_TIMES = {2: "a second time", 5: "a fifth time"}


def _take_next(queue: list[Task], place: Place, results: Path) -> Task | None:
    """Take the first job off the queue that fits beside the running ones and that no other process is running.

    A small job always fits; one too large for the room runs beside small ones. If other processes are running all that
    fits, the first of these is taken: its worker waits for the record.
    """
    small = place.room / _SMALL
    used = sum(size for job in place.beside if (size := task_megabytes(job)) > small)
    most, first = max(small, place.room - used), None
    for index, job in enumerate(queue):
        if used and task_megabytes(job) > most:
            continue
        if not is_held(results, job.key):
            return queue.pop(index)
        first = index if first is None else first
    return None if first is None else queue.pop(first)


def _open_crew(how: How, jobs: Sequence[Task], say: Callable[[str], None]) -> Crew:
    if how.cluster is None:
        return Processes(min(how.num_workers, len(jobs)), how.threads, how)
    from vgtemplate.lab.cluster.crew import ClusterCrew

    return ClusterCrew(how, jobs, say)


def _is_tried_again(ended: Ended, losses: Counter[tuple[str, int]]) -> bool:
    losses[ended.job.key, ended.tries] += 1
    return not ended.tries or losses[ended.job.key, ended.tries] < ended.tries


def run_jobs(
    jobs: Iterable[Task],
    how: How,
    watch: Callable[[list[Task]], None] = lambda running: None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Task, str | None]]:
    """Run jobs, long ones first, and yield each as it ends, with its failure or None.

    In worker processes of this machine, or on the cluster that `how` names. A job whose worker is killed is run again,
    once, from its last checkpoint. A caller that stops early leaves checkpoints of what was running.

    Args:
        watch: called about every second with the jobs that are running.
        say: given a line where a worker died.

    Raises:
        UserError: the cluster cannot be used.
    """
    sweep_checkpoints(how.results)
    shares = Shares(jobs, how)
    queue = sorted(shares.todo(), key=lambda job: -task_seconds(job))
    yield from shares.complete()
    if not queue:
        return
    if how.fresh:
        for job in queue:
            if not is_held(how.results, job.key):
                drop_checkpoints(how.results, job.key)
    crew, losses = _open_crew(how, queue, say), Counter[tuple[str, int]]()
    try:
        while queue or crew.running():
            while queue and (places := crew.places()):
                given = ((place, _take_next(queue, place, how.results)) for place in places)
                found = next(((place, job) for place, job in given if job is not None), None)
                if found is None:
                    break
                crew.give(*found)
            watch(crew.running())
            for ended in crew.ended(timeout=1):
                job, failure = ended.job, ended.failure
                if ended.lost is not None:
                    if _is_tried_again(ended, losses):
                        queue.insert(0, job)
                        say(f"{job.experiment}: {job.name}: {ended.lost}; the arm is run again")
                        continue
                    failure = f"{ended.lost}, {_TIMES[ended.tries]}"
                yield from shares.end(job, failure)
    finally:
        crew.dismiss()
