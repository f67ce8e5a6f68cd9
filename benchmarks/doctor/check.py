"""`python -m benchmarks.doctor.check [NAME...]`: is each case what it says? In plain torch, without any doctor."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.doctor import zoo
from benchmarks.doctor.case import Case, Training, steps_of


def lightning_losses(training: Training, steps: int) -> list[float]:
    """Train a LightningModule; return its losses."""
    import pytorch_lightning as pl

    losses: list[float] = []

    class Keep(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            value = outputs["loss"] if isinstance(outputs, dict) else outputs
            losses.append(float(value))

    trainer = pl.Trainer(**lightning_settings(training, steps), callbacks=[Keep()])
    trainer.fit(training.model, training.batches)
    return losses


def lightning_settings(training: Training, steps: int) -> dict[str, Any]:
    """Return the keywords of a quiet Trainer; Lightning, when it is imported, makes itself heard."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return {"max_steps": steps, "max_epochs": -1, "accelerator": "cpu", "barebones": False, **quiet, **training.trainer}


@dataclass
class Seen:
    """What a training did."""

    losses: list[float]
    before: dict[str, torch.Tensor]
    after: dict[str, torch.Tensor]
    score: float | None
    seconds: float

    @property
    def start(self) -> float:
        return _mean(self.losses[:3])

    @property
    def end(self) -> float:
        return self.score if self.score is not None else _mean(self.losses[-max(3, len(self.losses) // 6) :])

    def moved(self) -> set[str]:
        """Return what is no longer what it was."""
        return {name for name, old in self.before.items() if name in self.after and not same(old, self.after[name])}


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers, NaN included."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _state(training: Training) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in training.model.state_dict().items()}


def watch(make: Callable[[int], Training], steps: int, seed: int) -> Seen:
    """Train in plain torch and keep what is needed to judge."""
    training = make(seed)
    before, started = _state(training), time.process_time()
    if training.optimizer is None:
        losses = lightning_losses(training, steps)
    else:
        losses = [float(value.detach()) for value in steps_of(training, steps)]
    seconds = time.process_time() - started
    score = training.score(training.model.eval()) if training.score else None
    return Seen(losses, before, _state(training), score, seconds)


def check(case: Case, seed: int = 0) -> tuple[bool, str]:
    """Return whether a case is what it says, and what was seen."""
    seen = watch(case.make, case.steps, seed)
    text = f"{seen.start:.4g} -> {seen.end:.4g} in {seen.seconds:.1f} s"
    if case.kind == "healthy":
        finite = all(math.isfinite(value) for value in seen.losses)
        return finite and bool(seen.moved()) and (not case.falls or seen.end < 0.8 * seen.start), text
    from benchmarks.doctor.symptoms import shown

    assert case.cured is not None
    cured = watch(case.cured, case.steps, seed)
    shows, what = shown(case, seen, cured, seed)
    return shows, f"{text}; cured {cured.start:.4g} -> {cured.end:.4g}; {what}"


def quieten() -> None:
    """One torch thread, no warnings."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def main(names: list[str]) -> int:
    """Check the named cases, or all; return how many are not what they say."""
    quieten()
    wrong = 0
    for case in zoo.cases(only=names):
        try:
            right, text = check(case)
        except Exception as error:
            right, text = False, f"{type(error).__name__}: {str(error)[:300]}"
        wrong += not right
        print(f"{'ok ' if right else 'NOT'} {case.name:40s} {case.label:24s} {text}", flush=True)
    print(f"{wrong} not what they say")
    return wrong


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
