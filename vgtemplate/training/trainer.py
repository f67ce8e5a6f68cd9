"""Sets Lightning's trainer up as configuration and hardware ask, and fits, from a checkpoint if there is one."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from vgtemplate.atomic import write_whole
from vgtemplate.callbacks.archives import form_of, gist
from vgtemplate.callbacks.checkpointer import ARM, Checkpointer, UnusableError
from vgtemplate.config.errors import UserError
from vgtemplate.config.key import arm_key
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.strict import MOST
from vgtemplate.data.module import PopulationData
from vgtemplate.lightning import pl
from vgtemplate.training.environment import versions

T = TypeVar("T")
_Misconfiguration: type[Exception] = pl.utilities.exceptions.MisconfigurationException  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Hardware:
    """Where to train: Lightning's names, and the number of processor threads (None: torch's choice)."""

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of one arm alone are kept, one file per stage, and how often one is written.

    `every_seconds` lie between two checkpoints; 0: one before every step.
    """

    folder: Path
    every_seconds: float


class WholeFileIO(pl.plugins.TorchCheckpointIO):
    """Lightning's way to the disk, by way of a temporary file that is flushed and renamed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        # What a module of one's own was made with stands in the configuration; here it might be anything.
        kept = {name: part for name, part in checkpoint.items() if not name.startswith("hyper_parameters")}
        torch.save(kept | {"form": form_of(kept)}, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())


class _NoProfiler(pl.profilers.PassThroughProfiler):
    """Measures nothing, as Lightning's default does, without building a context for each hook of each callback."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._nothing


def quiet_lightning() -> None:
    """Keep Lightning's advice, which does not fit here, off the terminal."""
    logging.getLogger(pl.__name__).setLevel(logging.ERROR)
    # The loader is no DataLoader: data are in memory, so advice about worker processes does not apply.
    warnings.filterwarnings("ignore", module=pl.__name__)
    # Whether Slurm is there is no matter of a training that was not begun by it.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    # What torch.vmap computes row by row is still faster than a population whose every part runs in turn.
    warnings.filterwarnings("ignore", message="There is a performance drop")


def _accelerator(name: str) -> str:
    """Return Lightning's name; Apple's GPU has no float64, which the probes sum in, so it is never chosen."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if name == "gpu" else name


def trained_on(hardware: Hardware) -> torch.device:
    """Return the (first) device on which Lightning will train; UserError if this machine has none of the kind."""
    kind = _accelerator(hardware.accelerator)
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"--accelerator {hardware.accelerator}: torch finds no GPU that it can use; allowed here: auto, cpu"
        )
    return torch.device("cuda" if kind == "cuda" else "cpu")


def build_trainer(
    config: ArmConfig, hardware: Hardware, callbacks: list[pl.Callback], steps: int | None = None, min_steps: int = 0
) -> pl.Trainer:
    """Return a trainer as the configuration asks.

    Args:
        steps: train just so many, without validation.
        min_steps: let no callback end the run before.

    Raises:
        UserError: the hardware does not fit.
    """
    settings = config.training
    by_epochs = settings.epochs is not None and not steps
    try:
        return pl.Trainer(
            accelerator=_accelerator(hardware.accelerator),
            devices=hardware.devices,
            strategy=hardware.strategy,
            precision=settings.precision,
            accumulate_grad_batches=1 if steps else settings.accumulate,
            callbacks=callbacks,
            plugins=[WholeFileIO()],
            profiler=_NoProfiler(),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            min_steps=min_steps or None,
            max_steps=-1 if by_epochs else steps or settings.steps,
            max_epochs=settings.epochs if by_epochs else -1,
            # Without a cadence the validation images are looked at once, after the last step (run.py).
            val_check_interval=MOST
            if steps or settings.validate_every is None
            else settings.validate_every * settings.accumulate,
            check_val_every_n_epoch=None,
        )
    except (ValueError, RuntimeError, _Misconfiguration) as error:
        raise UserError(f"the trainer cannot be set up: {' '.join(str(error).split())}") from None


def from_checkpoints(train: Callable[[], T]) -> T:
    """Return what `train` returns, which builds all it trains; anew for each checkpoint that is set aside."""
    while True:
        try:
            return train()
        except UnusableError:
            continue


class Fitting:
    """Fits one stage after the other (each layer that is pretrained, then the network), from checkpoints if any."""

    def __init__(
        self,
        config: ArmConfig,
        data: PopulationData,
        hardware: Hardware,
        checkpoints: Checkpoints | None,
        min_steps: int = 0,
    ) -> None:
        self._config, self._data, self._hardware, self._min_steps = config, data, hardware, min_steps
        # Each process of a distributed run would decide by its own clock when to save.
        self._checkpoints = checkpoints if hardware.devices == 1 else None
        self._checkpointers: list[Checkpointer] = []

    def fit(
        self, module: pl.LightningModule, callbacks: Sequence[pl.Callback], stage: str, steps: int | None = None
    ) -> pl.Trainer:
        """Train a module: as the configuration asks, or for so many steps and without validation."""
        min_steps = 0 if steps is not None else self._min_steps
        found = checkpointer = None
        if self._checkpoints is not None:
            path = self._checkpoints.folder / f"{stage}.ckpt"
            every, keeps_end = self._checkpoints.every_seconds, steps is not None
            checkpointer = Checkpointer(path, versions() | {ARM: self._whose()}, every, keeps_end)
            self._checkpointers.append(checkpointer)
            callbacks, found = [checkpointer, *callbacks], checkpointer.usable(min_steps)
        # A training that had ended is read back, with what its callbacks had seen, and nothing is trained.
        ended_at = checkpointer.ended_at if checkpointer is not None else None
        trainer = build_trainer(self._config, self._hardware, [*callbacks], ended_at or steps, min_steps)
        try:
            trainer.fit(module, datamodule=self._data, ckpt_path=found, weights_only=True)
        except (UserError, OSError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if checkpointer is None or found is None or checkpointer.has_begun:
                raise
            # Nothing was trained yet: it is what was read that does not fit.
            checkpointer.set_aside(gist(error))
            raise UnusableError(f"{checkpointer.path}: the checkpoint cannot be used") from error
        if checkpointer is not None:
            checkpointer.finish(trainer)
        return trainer

    def _whose(self) -> str:
        """Return whose checkpoints these are: the key of the arm and the seeds that are trained at once."""
        configuration = self._config.model_dump(mode="json")
        return arm_key(configuration, self._data.seeds, str(self._data.info.get("fingerprint", "")))

    @property
    def first_step(self) -> int:
        """Where this process took the newest stage up."""
        parts = self._checkpointers[-1].parts if self._checkpointers else []
        return int(parts[-1]["from_step"]) if parts else 0

    @property
    def earlier_seconds(self) -> float:
        """How long earlier processes have trained this arm."""
        return sum(checkpointer.earlier_seconds for checkpointer in self._checkpointers)

    @property
    def interruptions(self) -> dict[str, Any]:
        """What a record says of a training that was not done in one go: the parts of it, and who did each."""
        parts = self._checkpointers[-1].parts if self._checkpointers else []
        return {"parts": parts} if len(parts) > 1 else {}
