"""Runs jobs in worker processes and lets every finished one be seen at once.

Heavy rooms are imported inside the workers' functions only, so that a call that finds every record does without torch.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import numpy as np

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record, write_record
from vgtemplate.reproduce.plan import Job


def _run_check(job: Job, check: str) -> Record:
    from vgtemplate.claims.exact import CHECKS_FUNCTIONS

    started = time.perf_counter()
    quantities = CHECKS_FUNCTIONS[check]()
    return Record(
        key=job.key,
        name=check,
        configuration={"check": check},
        seeds=(),
        dataset={},
        environment={},
        wall_seconds=time.perf_counter() - started,
        series={"quantities": np.array([np.atleast_1d(values) for values in quantities.values()], dtype=np.float64)},
        labels={"quantity": list(quantities)},
    )


def _run_arm(job: Job, config: ArmConfig, root: Path, accelerator: str) -> Record:
    from vgtemplate.training.run import Hardware, train_arm

    return train_arm(job.name, config, job.seeds, root, Hardware(accelerator))[0]


def run_job(job: Job, results: Path, root: Path, accelerator: str = "auto") -> Record:
    """Run one job in this process and write its record."""
    if job.check is not None:
        record = _run_check(job, job.check)
    elif job.config is not None:
        record = _run_arm(job, job.config, root, accelerator)
    else:
        raise ValueError(f"job {job.name} has neither an arm nor a check")
    write_record(results, record)
    return record


def _end_with_the_parent() -> None:
    """End this worker when the process that started it is gone, killed or not; records are written whole or not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _start_worker(threads: int) -> None:
    import torch

    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _give_memory_back() -> None:
    """Free what the last arm held: workers are many, and the next arm needs its own."""
    # A trainer and its module refer to each other, so they would wait for the collector.
    gc.collect()
    # The C library keeps freed tensors for itself unless it is told otherwise; only GNU's can be told.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _work(job: Job, results: Path, root: Path, accelerator: str) -> str | None:
    """Run a job in a worker; return None, or what went wrong."""
    try:
        run_job(job, results, root, accelerator)
    except UserError as error:
        return str(error)
    except Exception as error:  # one arm's failure must not take the others' results with it
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    finally:
        _give_memory_back()
    return None


def _take_next(queue: list[Job], running: Iterable[Job]) -> Job | None:
    """Take the first job off the queue that may run beside the running ones: two large ones never do."""
    has_large = any(job.is_large for job in running)
    for index, job in enumerate(queue):
        if not (has_large and job.is_large):
            return queue.pop(index)
    return None


def run_jobs(
    jobs: Iterable[Job],
    results: Path,
    root: Path,
    num_workers: int,
    accelerator: str = "auto",
    watch: Callable[[list[Job]], None] = lambda running: None,
) -> Iterator[tuple[Job, str | None]]:
    """Run jobs in worker processes, long ones first; yield each as it ends, with its failure or None.

    The cores are shared out: each worker computes with cores / num_workers threads.

    Args:
        jobs: what to run.
        results: the folder of the records.
        root: the folder of the data sets.
        num_workers: most processes.
        accelerator: Lightning's name.
        watch: called about every second with the jobs that are running.
    """
    queue = sorted(jobs, key=lambda job: -job.cost)
    if not queue:
        return
    num_workers = min(num_workers, len(queue))
    threads = max(1, num_cores() // num_workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, context, _start_worker, (threads,))
    try:
        running: dict[Future[str | None], Job] = {}
        while queue or running:
            # No more than there are workers, so that what is handed out is what is running.
            while len(running) < num_workers and (job := _take_next(queue, running.values())) is not None:
                running[pool.submit(_work, job, results, root, accelerator)] = job
            watch(list(running.values()))
            for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def num_cores() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
