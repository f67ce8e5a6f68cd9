"""A run that is stopped anywhere and resumed sees the batches that an uninterrupted run sees."""

from functools import cache
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from vgtemplate.config.schema import DataConfig
from vgtemplate.data.module import PopulationData

SEEDS = (3, 11)
NUM_STEPS = 12
CONFIG = DataConfig(dataset="digits", num_train=43, batch_size=8)


class StopError(Exception):
    pass


class Witness(pl.LightningModule):
    """Notes (step, the batch it was given); leaves a checkpoint and stops where it is told to."""

    def __init__(self, stop_step: int | None = None, moment: str = "", path: Path | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: dict[int, torch.Tensor] = {}
        self.stop_step, self.moment, self.path = stop_step, moment, path

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def _stop_at(self, moment: str, step: int) -> None:
        if (step, moment) == (self.stop_step, self.moment):
            self.trainer.save_checkpoint(self.path)
            raise StopError

    def training_step(self, batch, batch_idx):
        self._stop_at("inside the batch", self.global_step)
        images, labels = batch
        self.seen[self.global_step] = torch.cat([images.flatten(2).sum(2), labels.float()], dim=1)
        return self.weight * images.mean()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self._stop_at("after the batch", self.global_step - 1)

    def on_train_epoch_end(self):
        self._stop_at("after the epoch", self.global_step - 1)

    def validation_step(self, batch, batch_idx):
        self._stop_at("inside validation", self.global_step - 1)


def fit(module: Witness, config: DataConfig = CONFIG, checkpoint: Path | None = None, **settings) -> Witness:
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )
    data = PopulationData(config, SEEDS, Path("unused"))
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return module


BY_STEPS = {"max_steps": NUM_STEPS, "max_epochs": -1}
LENGTHS = {"steps": BY_STEPS, "epochs": {"max_epochs": 3}}


@cache
def uninterrupted(length: str) -> dict[int, torch.Tensor]:
    """What a run sees that nobody stops."""
    return fit(Witness(), **LENGTHS[length]).seen


def assert_seen_once_and_equal(resumed: dict[int, torch.Tensor], whole: dict[int, torch.Tensor], first: int) -> None:
    assert sorted(resumed) == list(range(first, max(whole) + 1))
    assert all(torch.equal(resumed[step], whole[step]) for step in resumed)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("stop_step", "moment", "first"),
    [
        (0, "after the batch", 1),
        (2, "after the batch", 3),
        (4, "after the batch", 5),
        (5, "after the batch", 6),
        (9, "after the batch", 10),
        (3, "inside the batch", 3),
        (5, "inside the batch", 5),
        (7, "inside the batch", 7),
        (4, "after the epoch", 5),
        (9, "after the epoch", 10),
    ],
)
def test_resumed_run_continues_with_exactly_the_next_batch(tmp_path, length, stop_step, moment, first):
    whole = uninterrupted(length)
    checkpoint = tmp_path / "stopped.ckpt"
    stopped = Witness(stop_step, moment, checkpoint)
    with pytest.raises(StopError):
        fit(stopped, **LENGTHS[length])
    assert_seen_once_and_equal(stopped.seen, {step: whole[step] for step in range(first)}, 0)
    resumed = fit(Witness(), checkpoint=checkpoint, **LENGTHS[length])
    assert_seen_once_and_equal(resumed.seen, whole, first)


@pytest.mark.parametrize(
    ("stop_step", "moment", "first"),
    [(2, "inside validation", 3), (8, "inside validation", 9), (2, "after the batch", 3)],
)
def test_validation_between_the_steps_moves_no_batch(tmp_path, stop_step, moment, first):
    config = CONFIG.model_copy(update={"num_validation": 10})
    length = {**BY_STEPS, "val_check_interval": 3, "check_val_every_n_epoch": None}
    whole = uninterrupted("steps")
    assert_seen_once_and_equal(fit(Witness(), config, **length).seen, whole, 0)
    checkpoint = tmp_path / "stopped.ckpt"
    with pytest.raises(StopError):
        fit(Witness(stop_step, moment, checkpoint), config, **length)
    assert_seen_once_and_equal(fit(Witness(), config, checkpoint, **length).seen, whole, first)


def test_limited_epochs_continue_the_order_where_the_last_one_ended():
    whole = uninterrupted("steps")
    assert_seen_once_and_equal(fit(Witness(), **BY_STEPS, limit_train_batches=3).seen, whole, 0)


def test_second_fit_of_the_same_trainer_continues():
    whole = uninterrupted("steps")
    module = Witness()
    trainer = pl.Trainer(
        max_steps=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = PopulationData(CONFIG, SEEDS, Path("unused"))
    trainer.fit(module, datamodule=data)
    trainer.fit_loop.epoch_loop.max_steps = NUM_STEPS
    trainer.fit(module, datamodule=data)
    assert_seen_once_and_equal(module.seen, whole, 0)


def test_lightning_neither_wraps_nor_replaces_the_loaders():
    class Look(pl.Callback):
        def on_train_start(self, trainer, module):
            self.loader = trainer.train_dataloader

    look = Look()
    fit(Witness(), **BY_STEPS, callbacks=[look])
    assert type(look.loader).__name__ == "TrainBatches"
    assert len(look.loader) == 43 // 8
