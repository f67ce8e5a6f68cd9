"""What `--cluster-plan` says, against `run_jobs` itself in a time that is counted and not waited for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from vgtemplate.jobs.job import Job
from vgtemplate.lab import workers
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.crew import Ended, Place
from vgtemplate.lab.plan import Task, plan_claims
from vgtemplate.lab.schedule import finish_seconds, plan_rows
from vgtemplate.lab.shares import Shares, split_seeds
from vgtemplate.lab.worker import How

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"


class Simulated:
    """Workers on which a job takes exactly what it is thought to cost."""

    def __init__(self, number: int) -> None:
        self.now, self._ends = 0.0, dict[int, tuple[float, Task]]()
        self._number = number

    def places(self) -> list[Place]:
        return [Place(worker, [], 1e9) for worker in range(self._number) if worker not in self._ends]

    def give(self, place: Place, job: Task) -> None:
        self._ends[place.who] = (self.now + task_seconds(job), job)

    def running(self) -> list[Task]:
        return [job for _, job in self._ends.values()]

    def ended(self, timeout: float) -> list[Ended]:
        worker = min(self._ends, key=lambda worker: self._ends[worker][0])
        self.now, job = self._ends.pop(worker)
        return [Ended(job)]

    def dismiss(self) -> None:
        pass


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Task]:
    root = tmp_path_factory.mktemp("root")
    plan = plan_claims(load_claims(EXPERIMENTS), EXPERIMENTS, "digits", range(10), root)
    return list(plan.jobs.values())


@pytest.mark.parametrize("number", [1, 2, 3, 200])
def test_plan_says_when_run_jobs_is_done(
    tasks: Sequence[Task], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = Simulated(number)
    monkeypatch.setattr(workers, "_open_crew", lambda *_: crew)
    assert len(list(workers.run_jobs(tasks, How(tmp_path, tmp_path, number)))) == len(tasks) > 100
    whole = plan_rows(tasks, number)[0]
    assert whole.finish == pytest.approx(crew.now)
    assert whole.total == pytest.approx(sum(map(task_seconds, tasks)))
    assert whole.longest == max(map(task_seconds, tasks))
    least = max(whole.longest, whole.total / number)
    assert least - 1e-6 <= whole.finish <= whole.total / number + whole.longest


@pytest.mark.parametrize(
    ("costs", "number", "seconds"),
    [([], 3, 0), ([4], 3, 4), ([1, 2, 3], 1, 6), ([1, 2, 3], 3, 3), ([2, 3, 2, 3, 2], 2, 7)],
)
def test_longest_jobs_go_first_to_whoever_is_free(costs: Iterable[float], number: int, seconds: float) -> None:
    assert finish_seconds(costs, number) == seconds


def test_plan_counts_the_shares_that_are_trained(tasks: Sequence[Task], tmp_path: Path) -> None:
    for row in plan_rows(tasks, 7)[1:]:
        assert row.share is not None
        assert row.num_jobs == len(Shares(tasks, How(tmp_path, tmp_path, 1, share=row.share)).todo())
    rows = plan_rows(tasks, 10_000)
    assert [row.share for row in rows] == [None, 5, 2, 1]
    assert [row.longest for row in rows] == sorted((row.longest for row in rows), reverse=True)
    assert [row.total for row in rows] == sorted(row.total for row in rows)


@pytest.mark.parametrize(
    ("most", "sizes"), [(10, [10]), (7, [5, 5]), (5, [5, 5]), (4, [3, 3, 4]), (3, [2, 3, 2, 3]), (1, [1] * 10)]
)
def test_shares_are_few_and_equal(most: int, sizes: list[int]) -> None:
    shares = split_seeds(tuple(range(10)), most)
    assert list(map(len, shares)) == sizes
    assert [seed for share in shares for seed in share] == list(range(10))


def test_arm_of_which_every_share_has_a_record_is_joined_at_once(tmp_path: Path) -> None:
    from tests.lab.cluster.conftest import arm
    from vgtemplate.jobs.job import read_job
    from vgtemplate.jobs.run import run_job

    job = arm("all", seeds=range(3))
    parts = [part for part in Shares([job], How(tmp_path, tmp_path, 1, share=2)).todo() if isinstance(part, Job)]
    assert [part.name for part in parts] == ["all (seed 0)", "all (seeds 1 to 2)"]
    for part in parts:
        run_job(part, tmp_path, tmp_path, "cpu")
    assert dict(workers.run_jobs([job], How(tmp_path, tmp_path, 1, share=2))) == {job: None}
    joined = read_job(tmp_path, job.key)
    assert joined is not None
    assert joined.seeds == (0, 1, 2)
    # Records that were there before stay.
    assert all(read_job(tmp_path, part.key) is not None for part in parts)
