"""The LightningDataModule of a population: scaled tensors on the device, and batches with the replica axis.

Keeps only the images that are used; draws no random number itself (batches.py does, from the seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.augment import CropFlip
from vgtemplate.data.batches import BatchOrder, EvaluationBatches, TrainBatches
from vgtemplate.data.images import Bytes, Images, Labels
from vgtemplate.data.sources import load_images
from vgtemplate.data.statistics import MOST_IMAGES, measure_channels, scale_pixels, typical_mean_squares


class PopulationData(pl.LightningDataModule):
    """The images of an arm: the first of the official training split, the last of it as validation, the test split.

    After `setup`: `input_shape` (C, H, W), `num_classes`, `steps_per_epoch`, `batch_size` (at most the number of
    training images) and `info`, what the record says of the data: `num_train` is less than `num_train_asked` where the
    data set is smaller; `mean` and `std` per channel are those of the training images in [0, 1].

    Args:
        seeds: one per replica.
        root: the folder of the data sets.
        num_probe_images: at most how many test images `probe_images` returns.
    """

    def __init__(
        self, config: DataConfig, seeds: Sequence[int], root: Path | str, num_probe_images: int = 1000
    ) -> None:
        super().__init__()
        self.config = config
        self.seeds = tuple(seeds)
        self.root = Path(root)
        self.num_probe_images = num_probe_images
        self.info: dict[str, Any] = {}
        self._splits: dict[str, tuple[Tensor, Tensor]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Load and verify the data set once, and hold it on the trainer's device (CPU without a trainer).

        Raises:
            UserError: it cannot be had, a file is damaged, or validation would leave no training image.
        """
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        if not self._splits:
            self._load()
        self._splits = {name: (pixels.to(device), labels.to(device)) for name, (pixels, labels) in self._splits.items()}
        self._order = BatchOrder(self.seeds, self.info["num_train"], self.config.batch_size, device)
        self.steps_per_epoch, self.batch_size = self._order.steps_per_epoch, self._order.batch_size

    def _load(self) -> None:
        images = self._select(load_images(self.config, self.root))
        num_validation = self.config.num_validation
        num_train = len(images.train_labels) - num_validation
        mean, std = measure_channels(images.train_images[:num_train], images.max_value)

        def scale(pixels: Bytes, labels: Labels) -> tuple[Tensor, Tensor]:
            scaled = scale_pixels(pixels, self.config.scaling, mean, std, images.max_value)
            return torch.from_numpy(scaled), torch.tensor(labels)

        self._splits = {
            "train": scale(images.train_images[:num_train], images.train_labels[:num_train]),
            "validation": scale(images.train_images[num_train:], images.train_labels[num_train:]),
            "test": scale(images.test_images[: self.config.num_test], images.test_labels[: self.config.num_test]),
        }
        self.input_shape = tuple(images.train_images.shape[1:])
        self.num_classes = len(images.classes)
        self.info = {
            "name": images.name,
            "fingerprint": images.fingerprint,
            "num_train": num_train,
            "num_train_asked": self.config.num_train,
            "num_validation": num_validation,
            "num_test": len(self._splits["test"][1]),
            "classes": list(images.classes),
            "input_shape": list(self.input_shape),
            "mean": mean,
            "std": std,
        }

    def _select(self, images: Images) -> Images:
        """Keep the training split's first `num_train` images and, after them, its last `num_validation`."""
        available, held_out = len(images.train_labels), self.config.num_validation
        if held_out >= available:
            raise UserError(
                f"data.num_validation: {held_out} leaves no training image; {images.name} has {available} in its "
                f"training split, so at most {available - 1}"
            )
        num_train = min(self.config.num_train, available - held_out)
        kept = np.r_[0:num_train, available - held_out : available]
        return replace(images, train_images=images.train_images[kept], train_labels=images.train_labels[kept])

    def _place(self) -> tuple[int, int]:
        """Return this process's rank and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> TrainBatches:
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
        images, labels = self._splits["train"]
        processed = None if self.trainer is None else self._num_processed
        augment = CropFlip(self.seeds, len(labels), images.device) if self.config.augment == "crop_flip" else None
        return TrainBatches(images, labels, self._order, rank, world_size, processed, augment)

    def _num_processed(self) -> int:
        """Return how many batches the trainer has trained on, in this run and in those it resumes."""
        assert self.trainer is not None
        total: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(total.processed)

    def _evaluation(self, name: str) -> EvaluationBatches:
        rank, world_size = self._place()
        return EvaluationBatches(*self._splits[name], len(self.seeds), rank=rank, world_size=world_size)

    def val_dataloader(self) -> EvaluationBatches | list[EvaluationBatches]:
        """Return the loader of the validation images, the same for every replica; none if there are no such images."""
        return self._evaluation("validation") if self.config.num_validation else []

    def test_dataloader(self) -> EvaluationBatches:
        """Return the loader of the test images, the same for every replica."""
        return self._evaluation("test")

    def ordered_train_dataloader(self) -> EvaluationBatches:
        """Return the loader of the training images in order, the same for every replica, to evaluate on."""
        return self._evaluation("train")

    def probe_images(self) -> Tensor:
        """Return the first `num_probe_images` test images, (N, C, H, W)."""
        return self._splits["test"][0][: self.num_probe_images]

    def mean_squares(self, flat: bool) -> npt.NDArray[np.float64]:
        """Return the mean square of each pixel of a few typical training images (`statistics.typical_mean_squares`)."""
        return typical_mean_squares(self._splits["train"][0][:MOST_IMAGES].cpu().numpy(), flat)
