"""What callbacks expect of a module and of each other: refused in one line where it does not hold, else let be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import ModelCheckpoint, StochasticWeightAveraging, Timer
from torch import nn

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.best import BestKeeper
from vgtemplate.callbacks.checkpointer import Checkpointer
from vgtemplate.callbacks.curves import CurveRecorder
from vgtemplate.callbacks.dead_units import DeadUnitProbe
from vgtemplate.callbacks.divergence import DivergenceRecorder
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.stopping import StopAtAccuracy
from vgtemplate.callbacks.weight import WeightProbe

SHARED = Recorder(1)


class Ordinary(pl.LightningModule):
    """A module of one's own, which offers none of what a population does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 4)).double()

    def training_step(self, batch: Any) -> Any:
        return F.cross_entropy(self.net(batch[0][0].flatten(1)), batch[1][0])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def checkpointer() -> Checkpointer:
    return Checkpointer(Path("nowhere.ckpt"), {}, every_seconds=1e9)


@pytest.mark.parametrize(
    ("callback", "needed", "lacked"),
    [
        (StopAtAccuracy(0.5, []), "model and num_replicas and score_over", "model and num_replicas and score_over"),
        (BestKeeper(), "model and validations", "model and validations"),
        (DivergenceRecorder(), "newest_losses", "newest_losses"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_module_that_lacks_something_is_refused_in_one_line(
    callback: pl.Callback, needed: str, lacked: str, lab: Any
) -> None:
    expected = f"{type(callback).__name__} needs a LightningModule with {needed}; Ordinary lacks {lacked}"
    with pytest.raises(ValueError, match=f"^{expected}$"):
        lab.run(Ordinary(), lab.batches(1), callback)


def test_ordinary_module_has_no_dead_units_and_is_not_refused(lab: Any) -> None:
    probe = DeadUnitProbe()
    lab.run(Ordinary(), lab.batches(1), probe)
    assert probe.series() == {}


@pytest.mark.parametrize(
    ("callbacks", "first", "then"),
    [
        (lambda: [SHARED, GradientProbe(recorder=SHARED)], "GradientProbe", "Recorder"),
        (lambda: [GradientProbe(recorder=SHARED)], "GradientProbe", "Recorder"),
        (lambda: [GradientProbe(recorder=SHARED), Recorder(1)], "GradientProbe", "Recorder"),
        (lambda: [DeadUnitProbe(), StopAtAccuracy(2.0, [])], "StopAtAccuracy", "DeadUnitProbe"),
        (lambda: [DeadUnitProbe(), StochasticWeightAveraging(0.1)], "StochasticWeightAveraging", "DeadUnitProbe"),
        (lambda: [GradientProbe(), checkpointer()], "Checkpointer", "GradientProbe"),
    ],
)
def test_callbacks_in_another_order_are_refused(
    callbacks: Callable[[], list[pl.Callback]], first: str, then: str, lab: Any
) -> None:
    with pytest.raises(ValueError, match=f"^in the trainer's callbacks {first} must stand before {then}$"):
        lab.run(lab.module(), lab.batches(1), *callbacks())


def test_list_of_ones_own_with_lightnings_callbacks_is_let_be(lab: Any, tmp_path: Path) -> None:
    """Lightning puts its own checkpoints last, behind the recorder."""
    recorder = Recorder(1)
    own = [
        *(Timer(), checkpointer(), ModelCheckpoint(tmp_path, save_last=True)),
        *(GradientProbe(recorder=recorder), CurveRecorder(), ActivationProbe(recorder=recorder), recorder),
        *(StopAtAccuracy(1.0, []), DeadUnitProbe(), WeightProbe()),
    ]
    module = lab.module()
    module.score_over = lambda _: torch.zeros(3)
    lab.run(module, lab.batches(2), *own, enable_checkpointing=True)
    assert {"gradient_rms", "signal_rms"} <= set(recorder.series())
    assert (tmp_path / "last.ckpt").exists()


def test_probe_inside_a_callback_of_ones_own_is_let_be(lab: Any) -> None:
    recorder = Recorder(1)

    class Watch(pl.Callback):
        def __init__(self) -> None:
            self.probe = GradientProbe(recorder=recorder)
            for name in ("on_fit_start", "on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end"):
                setattr(self, name, getattr(self.probe, name))

    lab.run(lab.module(), lab.batches(2), Watch(), recorder)
    assert recorder.series()["gradient_rms"].shape == (3, 2, 3)


def test_activation_that_the_catalogue_does_not_know_costs_its_saturation_alone(lab: Any) -> None:
    """Nobody knows its largest derivative, to which a saturated unit's is compared."""
    recorder, callbacks = lab.probes()
    lab.run(lab.module(), lab.batches(2), *callbacks)
    module = lab.module()
    for hidden in module.model.hidden_layers:
        hidden.activation = nn.Tanhshrink()
    strange, dead_units = lab.probes(), DeadUnitProbe()
    lab.run(module, lab.batches(2), *strange[1], dead_units)
    assert set(strange[0].series()) == set(recorder.series()) - {"saturated_fraction"}
    assert dead_units.series()["dead_fraction"].shape == (3, 2, 3)
