"""How workers share the machine."""

import pytest

from vgtemplate.lab import crew


@pytest.mark.parametrize(
    ("asked", "threads"), [(None, (8, 4, 1)), ("", (8, 4, 1)), ("many", (8, 4, 1)), ("2", (2, 2, 1)), ("16", (8, 4, 1))]
)
def test_workers_share_the_cores_and_take_no_more_threads_than_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, threads: tuple[int, ...]
) -> None:
    monkeypatch.setattr(crew, "num_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert tuple(crew.share_of_cores(number) for number in (1, 2, 20)) == threads
