"""Cases in processes of their own: one torch thread each, a time limit per case, results in the order of the cases."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.doctor import zoo
from benchmarks.doctor.case import Case, steps_of
from benchmarks.doctor.check import lightning_settings, quieten
from benchmarks.doctor.peers import names_of_peers

LIMIT_S = 60.0
SEED = 0


def diagnose_case(case: Case, seed: int = SEED) -> dict[str, Any]:
    """Run the doctor beside a training; return its codes in its order, where, its notes and the seconds."""
    from vgtemplate import Doctor, diagnose, watch  # the thing that is examined: not needed to build or check the zoo

    training = case.make(seed)
    started = time.perf_counter()
    if training.optimizer is None:
        import pytorch_lightning as pl

        doctor = Doctor()
        pl.Trainer(**lightning_settings(training, case.steps), callbacks=[doctor]).fit(training.model, training.batches)
        report = doctor.report
    elif training.loss is not None and training.train_step is None:
        report = diagnose(
            training.model, training.batches, loss=training.loss, optimizer=training.optimizer, steps=case.steps
        )
    else:
        with watch(training.model, training.optimizer) as report:
            for _ in steps_of(training, case.steps):
                pass
    return {
        "codes": list(dict.fromkeys(finding.code for finding in report.findings)),
        "where": {finding.code: str(finding.where) for finding in report.findings},
        "notes": [str(note) for note in report.notes],
        "seconds": time.perf_counter() - started,
    }


def examine(case: Case, with_peers: bool) -> dict[str, Any]:
    """Return what the doctor and, if asked, the peers' rules say of a case."""
    try:
        result = diagnose_case(case)
    except Exception as error:  # the examined tool or the training broke: that is a result, not an end
        result = {"codes": [], "error": f"{type(error).__name__}: {str(error)[:300]}"}
    if with_peers:
        try:
            result["peers"] = {peer: sorted(codes) for peer, codes in names_of_peers(case, SEED).items()}
        except Exception as error:
            result["peers_error"] = f"{type(error).__name__}: {str(error)[:300]}"
    return result


def _serve(pipe: Connection, with_peers: bool) -> None:
    quieten()
    by_name = {case.name: case for case in zoo.cases()}
    while (name := pipe.recv()) is not None:
        pipe.send(examine(by_name[name], with_peers))


class Worker:
    """One process that examines cases; started anew after one that took too long."""

    def __init__(self, with_peers: bool) -> None:
        self.with_peers = with_peers
        self.process: Any = None

    def ask(self, name: str) -> dict[str, Any]:
        """Return the result of a case, or that it took too long or that its process ended."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs, self.with_peers), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send(name)
        try:
            if self.pipe.poll(LIMIT_S * (3 if self.with_peers else 1)):
                return dict(self.pipe.recv())
            why = f"took more than {LIMIT_S:g} s"
        except EOFError:
            why = "its process ended"
        self.stop()
        return {"codes": [], "error": why}

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def examine_all(
    cases: Sequence[Case], jobs: int, with_peers: bool, tell: Callable[[Case, dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """Examine cases in `jobs` processes; return results by name, in the order of the cases."""
    results: dict[str, dict[str, Any]] = {}
    left, lock = list(reversed(cases)), threading.Lock()

    def work() -> None:
        worker = Worker(with_peers)
        try:
            while True:
                with lock:
                    if not left:
                        return
                    case = left.pop()
                result = worker.ask(case.name)
                with lock:
                    results[case.name] = result
                    tell(case, result)
        finally:
            worker.stop()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {case.name: results[case.name] for case in cases}
