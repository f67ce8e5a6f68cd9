"""What every probe shares: the cadence, the layers, and hooks that live for one step only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.hooks import RemovableHandle

from vgtemplate.callbacks.contracts import check_order
from vgtemplate.callbacks.layers import ProbedLayer, find_layers
from vgtemplate.callbacks.loggers import draw
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.lightning import pl

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Probe(pl.Callback):
    """A callback that looks at the probed steps; alone it keeps its own Recorder, in a set it shares one.

    In a population of vgtemplate.nn it hooks the hidden layers itself. Any other network is watched by the recorder,
    which is told what to look at.

    Args:
        every: probe each so many steps, from 1, step 0 and the last always; None: 50 probes per run.
        recorder: the shared recorder, which then must stand after the probes in the trainer's callbacks.

    Raises:
        ValueError: at the start of the training, if the shared recorder does not stand after it.
    """

    looks: tuple[str, ...] = ()
    """What a watcher looks at in its place."""

    def __init__(self, every: int | None = None, recorder: Recorder | None = None) -> None:
        self.recorder = recorder or Recorder(every)
        self._owns_recorder = recorder is None
        self._handles: list[RemovableHandle] = []
        self.layers: list[ProbedLayer] = []
        self.active = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._owns_recorder:
            check_order(trainer, self, self.recorder)
        self.layers = find_layers(pl_module)
        if self.layers:
            self.recorder.hidden = [layer.name for layer in self.layers]
        elif self.looks:
            self.recorder.watch(pl_module, self.looks)

    def plot(self) -> Figure:
        """Return a picture of the gradient by layer at the first, the middle and the last probed step.

        Raises:
            ValueError: no gradient was measured.
        """
        return draw(self.recorder.layers, self.recorder.series(), self.recorder.steps)

    def state_dict(self) -> dict[str, Any]:
        # A shared recorder is a callback of its own.
        return {"recorder": self.recorder.state_dict()} if self._owns_recorder else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "recorder" in state_dict:
            self.recorder.load_state_dict(state_dict["recorder"])

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: object) -> None:
        if not self.layers:
            if self._owns_recorder:
                self.recorder.on_train_batch_start(trainer, pl_module, *rest)
            return
        self.active = self.recorder.is_probed(trainer)
        self._step = trainer.global_step
        if self.active:
            self.begin(pl_module)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        if self.active:
            self.before_clip(pl_module)
        elif not self.layers and self._owns_recorder:
            self.recorder.on_before_optimizer_step(trainer, pl_module, optimizer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._remove_hooks()
        if self.active and trainer.global_step > self._step:
            self.end(pl_module)
        if self._owns_recorder:
            self.recorder.on_train_batch_end(trainer)
        self.active = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._owns_recorder:
            self.recorder.on_train_end(trainer, pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._remove_hooks()
        if self._owns_recorder:
            self.recorder.on_exception(trainer, pl_module, exception)

    def _remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def require_population(self, pl_module: pl.LightningModule) -> None:
        """Raise a ValueError unless the module is a population that shows what flows through its layers."""
        if not self.layers:
            who, what = type(self).__name__, type(pl_module).__name__
            raise ValueError(f"{who} needs a population with hidden_layers; {what} has none")

    def begin(self, pl_module: pl.LightningModule) -> None:
        """Act before a probed step: put in hooks (through `_handles`), keep what the step will change."""

    def before_clip(self, pl_module: pl.LightningModule) -> None:
        """Act in a probed step once its gradient is complete and not clipped yet."""

    def end(self, pl_module: pl.LightningModule) -> None:
        """Act after a probed step: hand the measurements to the recorder."""
