"""The LightningDataModule of a population: scaled tensors on the device, and batches with the replica axis.

Keeps only the images that are used; draws no random number itself (batches.py does, from the seeds).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.augment import CropFlip
from vgtemplate.data.batches import BatchOrder, EvaluationBatches, TrainBatches
from vgtemplate.data.drawn import Drawn
from vgtemplate.data.prepare import prepare
from vgtemplate.data.split import Split, Tensors
from vgtemplate.data.statistics import MOST_IMAGES, typical_mean_squares
from vgtemplate.lightning import pl


class PopulationData(pl.LightningDataModule):
    """The data of an arm: the first of the official training split, the last of it as validation, the test split.

    Or, with `draw: per_seed`, for each replica its own of the training split.

    After `setup`: `input_shape` (C, H, W), `num_classes`, `steps_per_epoch`, `batch_size` (at most the number of
    training images) and `info`, what the record says of the data: `num_train` is less than `num_train_asked` where the
    data set is smaller; `mean` and `std` per channel are those of the training images in [0, 1].

    Args:
        seeds: one per replica.
        root: the folder of the data sets.
        num_probe_images: at most how many test images `probe_images` returns.
        alone: give the batches of one seed without the replica axis, (B, ...), as an ordinary network takes them.
    """

    def __init__(
        self,
        config: DataConfig,
        seeds: Sequence[int],
        root: Path | str,
        num_probe_images: int = 1000,
        alone: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.seeds = tuple(seeds)
        self.root = Path(root)
        self.num_probe_images = num_probe_images
        self.alone = alone
        self.info: dict[str, Any] = {}
        self._splits: dict[str, Split] = {}

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def setup(self, stage: str | None = None) -> None:
        """Load and verify the data set once, and hold it on the trainer's device (CPU without a trainer).

        Raises:
            UserError: it cannot be had, a file is damaged, or validation would leave no training image.
        """
        if not self._splits:
            self._splits, self.info = prepare(self.config, self.root, self.seeds)
        self._splits = {name: split.to(self._device) for name, split in self._splits.items()}
        self._order = BatchOrder(self.seeds, self.info["num_train"], self.config.batch_size, self._device)
        self.steps_per_epoch, self.batch_size = self._order.steps_per_epoch, self._order.batch_size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input, e.g. (C, H, W); () where inputs are no tensors."""
        return tuple(self.info["input_shape"])

    @property
    def num_classes(self) -> int | None:
        """How many outputs the targets ask for; None where the data do not say."""
        number: int | None = self.info.get("num_outputs", len(self.info["classes"]))
        return number

    def _place(self) -> tuple[int, int]:
        """Return this process's rank and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> Iterable[Any]:
        """Return the loader of (images (R, B, C, H, W), labels (R, B)), continuing where the trainer stands.

        Raises:
            UserError: the processes of a distributed run cannot share the batch equally.
        """
        rank, world_size = self._place()
        if self._order.batch_size % world_size:
            raise UserError(
                f"data.batch_size: {self._order.batch_size} cannot be shared equally by {world_size} devices; "
                f"allowed: multiples of {world_size}"
            )
        split, processed = self._splits["train"], None if self.trainer is None else self._num_processed
        return TrainBatches(split, self._order, rank, world_size, processed, self._augment(), self.alone)

    def _augment(self) -> CropFlip | None:
        if self.config.augment == "none":
            return None
        if len(self.input_shape) != 3:
            raise UserError("data.augment: crop_flip needs inputs that are images, (channels, height, width)")
        return CropFlip(self.seeds, self.info["num_train"], self._device)

    def _num_processed(self) -> int:
        """Return how many batches the trainer has trained on, in this run and in those it resumes."""
        assert self.trainer is not None
        total: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(total.processed)

    def _evaluation(self, name: str) -> Iterable[Any]:
        rank, world_size = self._place()
        num_replicas = None if self.alone else len(self.seeds)
        return EvaluationBatches(self._splits[name], num_replicas, rank=rank, world_size=world_size)

    def val_dataloader(self) -> Iterable[Any]:
        """Return the loader of the validation images, the same for every replica; none if there are no such images."""
        return self._evaluation("validation") if self.info["num_validation"] else []

    def test_dataloader(self) -> Iterable[Any]:
        """Return the loader of the test images, the same for every replica."""
        return self._evaluation("test")

    def ordered_train_dataloader(self) -> Iterable[Any]:
        """Return the loader of the training images in order, each replica's own, to evaluate on."""
        return self._evaluation("train")

    def _inputs(self, name: str, most: int) -> Tensor | None:
        """Return the first inputs of a split, (N, ...), where they are numbers in memory rather than names or items."""
        split = self._splits[name]
        if isinstance(split, Drawn):
            split = split.pool
        if not isinstance(split, Tensors) or not isinstance(split.content, tuple):
            return None
        inputs = split.content[0]
        return inputs[:most] if isinstance(inputs, Tensor) and inputs.is_floating_point() else None

    def probe_images(self) -> Tensor | None:
        """Return the first `num_probe_images` test images, (N, C, H, W); None of what is no tensor of numbers."""
        return self._inputs("test", self.num_probe_images)

    def mean_squares(self, flat: bool) -> npt.NDArray[Any] | None:
        """Return the mean square of each pixel of a few typical training images (`statistics.typical_mean_squares`).

        None of what is no tensor of numbers, or, unless `flat`, no image.
        """
        inputs = self._inputs("train", MOST_IMAGES)
        if inputs is None or (inputs.dim() != 4 and not flat):
            return None
        images = inputs if inputs.dim() == 4 else inputs.reshape(len(inputs), 1, 1, -1)
        return typical_mean_squares(images.cpu().numpy(), flat)
