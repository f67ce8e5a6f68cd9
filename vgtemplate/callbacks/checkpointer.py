"""Saves a run in progress: one that is killed or stopped anywhere goes on as if it never had been.

Checkpoints are Lightning's own, read with `weights_only=True`. What the other callbacks have measured is part of them.
All random numbers of a step come from (seed, step), so no random state is kept.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from vgtemplate.callbacks.archives import form_of, gist, read_archive
from vgtemplate.callbacks.contracts import check_order
from vgtemplate.config.errors import Stopped, UserError
from vgtemplate.lightning import pl

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
ARM = "arm"
"""The name under which the versions also say whose checkpoint it is."""

_PARTS = {"state_dict", "optimizer_states", "loops", "callbacks", "global_step"}
"""What Lightning would do without, and train on from somewhere else."""
_WORTH_SECONDS = 1.0
"""A checkpoint of the finished training is written if at least so much work would be lost without it."""


def _read(path: Path, versions: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return a checkpoint, and why it cannot be used; "" if it can.

    Raises:
        UserError: it cannot be read just now, which says nothing against it.
    """
    try:
        found = read_archive(path)
    except ValueError as error:
        return {}, str(error)
    except (OSError, MemoryError) as error:
        raise UserError(f"{path}: the checkpoint cannot be read ({gist(error)}); it stays as it is") from None
    if not isinstance(found, dict) or not isinstance(found.get("versions"), dict):
        return {}, "it is no checkpoint of `vgt train`"
    if {**found["versions"], ARM: versions.get(ARM)} != versions:
        return {}, "other versions of the libraries wrote it"
    if found["versions"] != versions:
        return {}, "it is another arm's"
    if found.pop("form", "") != form_of(found) or not found.keys() >= _PARTS:
        return {}, "a part of it is missing, or has another form than it was written with"
    if found.pop("num_states", None) != _count_states(found["optimizer_states"]):
        return {}, "it has not the optimiser's state of every weight"
    return found, ""


def _count_states(states: object) -> list[int]:
    """Return of how many weights each optimiser's state knows something: of none where it is plain SGD's.

    What is not there is taken by torch for what is not there yet, and made anew.
    """
    known = [each.get("state") for each in states if isinstance(each, Mapping)] if isinstance(states, list) else []
    return [len(each) if isinstance(each, Mapping) else 0 for each in known]


class UnusableError(UserError):
    """A checkpoint could not be gone on from, and was set aside: what is to be trained is to be built anew."""


class Checkpointer(pl.Callback):
    """Saves the run before a step, when it is time or when SIGTERM or SIGINT asks for the end; then raises Stopped.

    Must stand before all callbacks that act before a step, so that none of them is in the middle of one. Before a step
    everything of the step before it is done, validation and the end of an epoch included; after a step it is not.

    Args:
        versions: of the libraries; a checkpoint that others have written is not used.
        every_seconds: between two checkpoints.
        keeps_end: leave a checkpoint of the finished stage too.

    `parts` says where the run was taken up, and by what: one entry per process that worked on it; `earlier_seconds` how
    long those before this one have trained; `ended_at`, of a checkpoint of a finished training, its last step.

    Raises:
        ValueError: at the start of the training, if a callback that acts before a step stands before it.
    """

    def __init__(self, path: Path, versions: Mapping[str, str], every_seconds: float, keeps_end: bool = False) -> None:
        self.path = path
        self._versions = dict(versions)
        self.parts: list[dict[str, Any]] = []
        self._every_seconds = every_seconds
        self._keeps_end = keeps_end
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}
        self.earlier_seconds = 0.0
        self.ended_at: int | None = None
        self._num_optimisers: int | None = None
        self.has_begun = False
        """Whether the training has begun: all that a checkpoint held was taken up."""
        self._started = self._saved = time.monotonic()

    def usable(self, min_steps: int = 0) -> Path | None:
        """Return the file to go on from, or None; one that cannot be used is said, and set aside.

        A training that had ended before `min_steps` begins anew: what is kept of it cannot be trained on.

        Raises:
            UserError: there is one that cannot be read just now.
        """
        if not self.path.exists():
            return None
        found, fault = _read(self.path, self._versions)
        if not fault:
            ended_at = found["callbacks"][self.state_key]["ended_at"]
            if ended_at is not None and ended_at < min_steps:
                self.path.unlink()
                return None
            self.ended_at = ended_at
            self._num_optimisers = len(found["optimizer_states"])
            return self.path
        self.set_aside(fault)
        return None

    def set_aside(self, fault: str) -> None:
        """Say that the checkpoint cannot be used, and why, and keep it under another name."""
        warnings.warn(f"{self.path}: the checkpoint cannot be used ({fault}); the run starts anew", stacklevel=3)
        self.path.replace(self.path.with_suffix(".unusable"))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if other is not self and type(other).on_train_batch_start is not pl.Callback.on_train_batch_start:
                check_order(trainer, self, other)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._num_optimisers not in (None, len(trainer.optimizers)):
            raise ValueError("it has not the state of every optimiser")  # which Lightning would pass over
        self.has_begun = True
        self._started = self._saved = time.monotonic()
        self._take_up(trainer)
        if threading.current_thread() is threading.main_thread():
            # Instead of Lightning's own, which end the run without a checkpoint. What is ignored stays ignored: Ctrl-C
            # reaches a worker as well as its parent, which will ask it to end.
            heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._handlers = {number: signal.signal(number, self._notice) for number in heard}

    def _take_up(self, trainer: pl.Trainer) -> None:
        device, threads = trainer.strategy.root_device.type, torch.get_num_threads()
        self.parts.append({"from_step": trainer.global_step, "device": device, "threads": threads})

    def _notice(self, number: int, _: object) -> None:
        if self._signal is not None:  # asked twice: at once
            self._put_handlers_back()
            signal.raise_signal(number)
        self._signal = number

    def _put_handlers_back(self) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, _: object, batch_idx: int
    ) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return  # gradients that are still being summed up stand in no checkpoint
        is_due = time.monotonic() - self._saved >= self._every_seconds
        if trainer.global_step and (is_due or self._signal is not None):
            self._save(trainer)
        if self._signal is not None:
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> NoReturn:
        assert self._signal is not None
        raise Stopped(f"stopped at step {trainer.global_step}; the same command goes on from there", self._signal)

    def _save(self, trainer: pl.Trainer) -> None:
        try:
            trainer.save_checkpoint(self.path)
        except OSError as error:
            warnings.warn(f"{self.path}: no checkpoint can be written ({error.strerror})", stacklevel=2)
        self._saved = time.monotonic()

    def on_save_checkpoint(self, trainer: pl.Trainer, _: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["versions"] = self._versions
        checkpoint["num_states"] = _count_states(checkpoint["optimizer_states"])
        # Lightning has counted the step that is about to begin already; left so, validations would come a step early,
        # and the last batch of an epoch would be passed over.
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for count in (progress["total"], progress["current"]):
            count["ready"] = count["completed"]
        progress["is_last_batch"] = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_handlers_back()

    def finish(self, trainer: pl.Trainer) -> None:
        """Keep the finished training, so that whatever ends what follows, a test pass say, does not cost it.

        To be called when every callback has seen the end.

        Raises:
            Stopped: a signal came during the last step.
        """
        if not (is_new := self.ended_at is None):
            self._take_up(trainer)
        self.ended_at = trainer.global_step
        is_worth_it = self._keeps_end or time.monotonic() - self._saved >= min(_WORTH_SECONDS, self._every_seconds)
        if is_new and (is_worth_it or self._signal is not None):
            self._save(trainer)
        if self._signal is not None:
            self._stop(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._put_handlers_back()

    def state_dict(self) -> dict[str, Any]:
        seconds = self.earlier_seconds + time.monotonic() - self._started
        return {"parts": self.parts, "seconds": seconds, "ended_at": self.ended_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.parts = state_dict["parts"]
        self.earlier_seconds = state_dict["seconds"]
