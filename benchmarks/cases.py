"""The work that is timed: networks, images, numbers of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.batches import BatchOrder, EvaluationBatches, TrainBatches
from vgtemplate.data.split import Tensors

NUM_CLASSES = 10
SHAPE = (1, 28, 28)
"""MNIST's."""


@dataclass(frozen=True)
class Work:
    """A network and how long it is trained: `warm_up` steps that are not timed, then `steps` that are."""

    name: str
    config: ArmConfig
    steps: int
    warm_up: int = 5
    device: str = "cpu"

    @property
    def total(self) -> int:
        """All steps."""
        return self.warm_up + self.steps

    def images(self) -> tuple[Tensor, Tensor]:
        """Return images (N, 1, 28, 28) from N(0, 1) and labels (N,), always the same, on the processor."""
        generator = torch.Generator().manual_seed(20_180_905)
        num_images = self.config.data.num_train
        labels = torch.randint(NUM_CLASSES, (num_images,), generator=generator)
        return torch.randn(num_images, *SHAPE, generator=generator), labels


def arm(
    kind: str = "mlp", depth: int = 20, width: int = 64, norm: str = "none", num_train: int = 10_000, **others: Any
) -> ArmConfig:
    """Return a ReLU network on MNIST-sized images in batches of 128, trained by plain SGD, unprobed."""
    return ArmConfig.model_validate(
        {
            "model": {"kind": kind, "depth": depth, "width": width, "norm": norm},
            "data": {"num_train": num_train, "batch_size": 128},
            "optimiser": {"lr": 0.01},
            "probes": {"every": 0},
            **others,
        }
    )


class MemoryData(pl.LightningDataModule):
    """The images of some work as `vgtemplate` feeds them: in memory, gathered replica by replica on the device."""

    def __init__(self, work: Work, num_replicas: int) -> None:
        super().__init__()
        self._work = work
        self._seeds = range(num_replicas)

    def setup(self, stage: str | None = None) -> None:
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        self._images, self._labels = (tensor.to(device) for tensor in self._work.images())
        data = self._work.config.data
        self._order = BatchOrder(self._seeds, len(self._labels), data.batch_size, device)

    def train_dataloader(self) -> TrainBatches:
        return TrainBatches(Tensors((self._images, self._labels)), self._order)

    def ordered_train_dataloader(self) -> EvaluationBatches:
        return EvaluationBatches(Tensors((self._images, self._labels)), len(self._seeds))
