"""The progress bar shows where the training is, ends with it, and is silent where it should be."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from vgtemplate.callbacks import progress as progress_module
from vgtemplate.callbacks.progress import ProgressBar


def test_bar_runs_to_the_last_step(lab: Any, capfd: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("sigmoid")
    lab.run(lab.module(), lab.batches(3), bar, max_epochs=2)
    (task,) = bar._progress.tasks
    assert (task.completed, task.total, task.finished) == (6, 6, True)
    assert not bar._progress.live.is_started
    output, shown = capfd.readouterr()
    assert "sigmoid" in shown
    assert "6/6" in shown
    assert "sigmoid" not in output


class TwoOptimisers(pl.LightningModule):
    """Steps by itself, as a GAN does."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        for optimiser in self.optimizers():
            optimiser.zero_grad()
            self.manual_backward(self.layer(batch).square().mean())
            optimiser.step()

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        return torch.optim.SGD([self.layer.weight], 0.1), torch.optim.SGD([self.layer.bias], 0.1)


@pytest.mark.parametrize(("length", "expected"), [({"max_epochs": 2}, 6), ({"max_steps": 4, "max_epochs": -1}, 4)])
def test_bar_of_several_optimisers_ends_where_it_says(length: dict[str, int], expected: int) -> None:
    bar = ProgressBar("gan")
    loader = torch.utils.data.DataLoader(torch.ones(3, 2), 1)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    pl.Trainer(callbacks=[bar], accelerator="cpu", enable_model_summary=False, **quiet, **length).fit(
        TwoOptimisers(), loader
    )
    (task,) = bar._progress.tasks
    assert (task.completed, task.total) == (expected, expected)


def test_loss_shown_is_the_median_of_the_replicas(lab: Any) -> None:
    bar = ProgressBar("a")
    module, batches = lab.module(), lab.batches(1)
    losses: list[torch.Tensor] = []

    class Keeper(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
            losses.append(outputs["losses"])

    lab.run(module, batches, bar, Keeper())
    assert bar._progress.tasks[0].fields["loss"] == f"{float(losses[0].sort().values[1]):.4f}"


def test_device_is_not_waited_for_at_every_step(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    now = [0.0]

    class Clock(pl.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            now[0] += 0.1

    class Counted(ProgressBar):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *others: Any) -> None:
            before = self._looked_at
            super().on_train_batch_end(trainer, pl_module, outputs, *others)
            if self._looked_at != before:
                looks.append(trainer.global_step)

    monkeypatch.setattr(progress_module.time, "monotonic", lambda: 100 + now[0])
    lab.run(lab.module(), lab.batches(9), Clock(), Counted("a"))
    assert looks == [1, 4, 7]


def test_bar_goes_when_training_breaks(lab: Any) -> None:
    class Break(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise RuntimeError("it broke")

    bar = ProgressBar("a")
    with pytest.raises(RuntimeError, match="it broke"):
        lab.run(lab.module(), lab.batches(2), bar, Break())
    assert not bar._progress.live.is_started


def test_breaking_before_the_bar_stands_is_no_second_error() -> None:
    ProgressBar("a").on_exception(None, None, RuntimeError())  # type: ignore[arg-type]


def test_bar_changes_no_weight(lab: Any) -> None:
    states = []
    for callbacks in ([], [ProgressBar("a")]):
        module = lab.module(model={"dropout": 0.2})
        lab.run(module, lab.batches(3), *callbacks)
        states.append(module.model.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
