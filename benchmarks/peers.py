"""The same work as people usually do it, one network at a time: a loop by hand, Lightning, Lightning and MLflow, Keras.

Each trains the network of the work once and returns the seconds of one step.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.cases import NUM_CLASSES, SHAPE, Work
from benchmarks.clock import Clock, LightningClock
from vgtemplate.config.network import ModelConfig


def build_plain(config: ModelConfig) -> nn.Sequential:
    """Return the network of an arm in torch's own layers, initialised by torch."""
    layers: list[nn.Module] = [] if config.kind == "cnn" else [nn.Flatten()]
    fan_in = SHAPE[0] if config.kind == "cnn" else math.prod(SHAPE)
    for stride, width in zip(config.strides(), config.widths(), strict=True):
        if config.kind == "cnn":
            layers.append(nn.Conv2d(fan_in, width, 3, stride, padding=1))
        else:
            layers.append(nn.Linear(fan_in, width))
        if config.norm == "batch":
            layers.append(nn.BatchNorm2d(width) if config.kind == "cnn" else nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        fan_in = width
    if config.kind == "cnn":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(fan_in, NUM_CLASSES))


def by_hand(work: Work) -> float:
    """A training loop in twenty lines of PyTorch: data in memory, shuffled each epoch, nothing logged."""
    images, labels = (tensor.to(work.device) for tensor in work.images())
    network = build_plain(work.config.model).to(work.device)
    optimiser = torch.optim.SGD(network.parameters(), lr=work.config.optimiser.lr)
    clock, step = Clock(work.warm_up, work.device), 0
    while True:
        for indices in torch.randperm(len(images), device=work.device).split(work.config.data.batch_size):
            if len(indices) < work.config.data.batch_size:
                continue
            clock.step()
            loss = F.cross_entropy(network(images[indices]), labels[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            if step == work.total:
                clock.stop()
                return clock.seconds / work.steps


class PlainModule(pl.LightningModule):
    """A classifier as Lightning's documentation teaches it."""

    def __init__(self, network: nn.Module, lr: float) -> None:
        super().__init__()
        self.network = network
        self.lr = lr

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self.network(images), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def lightning(
    work: Work, callbacks: Sequence[pl.Callback] = (), module: type[PlainModule] = PlainModule, **others: Any
) -> float:
    """Lightning with DataLoader, self.log and its progress bar; `others` go to the Trainer."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    loader = DataLoader(TensorDataset(*work.images()), work.config.data.batch_size, shuffle=True, drop_last=True)
    clock = Clock(work.warm_up, work.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator=work.device,
            devices=1,
            max_steps=work.total,
            max_epochs=-1,
            callbacks=[LightningClock(clock), *callbacks],
            default_root_dir=folder,
            **{"logger": False, "enable_checkpointing": False, **others},
        )
        trainer.fit(module(build_plain(work.config.model), work.config.optimiser.lr), loader)
    return clock.seconds / work.steps


def lightning_mlflow(work: Work, log_every: int = 50) -> float:
    """Lightning with its MLFlowLogger on a SQLite file; `log_every` 50 is Lightning's default."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from pytorch_lightning.loggers import MLFlowLogger

    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        logger = MLFlowLogger("bench", tracking_uri=store, artifact_location=Path(folder).as_uri())
        return lightning(work, logger=logger, log_every_n_steps=log_every)


def keras_fit(work: Work) -> float:
    """Keras 3 on the torch backend: its layers, its own `fit` with its progress bar."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    config = work.config.model
    images, labels = (tensor.numpy() for tensor in work.images())
    inputs = keras.Input((*SHAPE[1:], SHAPE[0]))
    x = inputs if config.kind == "cnn" else keras.layers.Flatten()(inputs)
    for stride, width in zip(config.strides(), config.widths(), strict=True):
        if config.kind == "cnn":
            x = keras.layers.Conv2D(width, 3, strides=stride, padding="same")(x)
        else:
            x = keras.layers.Dense(width)(x)
        if config.norm == "batch":
            x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    if config.kind == "cnn":
        x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(NUM_CLASSES)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(work.config.optimiser.lr), loss)
    clock = Clock(work.warm_up, work.device)

    class KerasClock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            clock.step()

    batch_size = work.config.data.batch_size
    # `fit` counts in epochs; this many images are one epoch of exactly the steps asked for.
    num_images = work.total * batch_size
    copies = -(-num_images // len(images))
    images = images.reshape(-1, *SHAPE[1:], SHAPE[0]).repeat(copies, axis=0)[:num_images]
    model.fit(images, labels.repeat(copies)[:num_images], batch_size, callbacks=[KerasClock()])
    clock.stop()
    return clock.seconds / work.steps
