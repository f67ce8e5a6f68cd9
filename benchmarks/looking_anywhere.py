"""What looking into people's own networks costs: a ResNet-18 and a small transformer, beside other loggers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from benchmarks.clock import Clock, Contestant, LightningClock, Spread, race, ratios
from benchmarks.gradient_loggers import GradNormLogger, HistogramLogger, ItemLogger
from benchmarks.suite import Options, Row
from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe

CLASSES, BATCH, WORDS, LENGTH = 10, 32, 1000, 64
NOTHING = "no gradient logger"


class Transformer(nn.Module):
    """Four encoder layers of width 128 over 64 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 128)
        layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(128, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(self.embedding(tokens)).mean(dim=1))
        return logits


def _resnet() -> tuple[nn.Module, Tensor]:
    return resnet18(num_classes=CLASSES), torch.randn(BATCH, 3, 32, 32)


def _transformer() -> tuple[nn.Module, Tensor]:
    return Transformer(), torch.randint(WORDS, (BATCH, LENGTH))


WORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "ResNet-18, 32 images of 32x32": _resnet,
    "transformer, 4 layers, 32 texts of 64": _transformer,
}


class Classifier(pl.LightningModule):
    """A classifier as Lightning's documentation teaches it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def _probes(every: int) -> list[pl.Callback]:
    recorder = Recorder(every)
    return [*(kind(recorder=recorder) for kind in (GradientProbe, ActivationProbe, WeightProbe)), recorder]


def train(work: str, steps: int, device: str, callbacks: Callable[[], Sequence[pl.Callback]]) -> float:
    """Train a network; return the seconds of one step."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    network, inputs = WORKS[work]()
    data = TensorDataset(inputs, torch.randint(CLASSES, (BATCH,)))
    clock = Clock(2, device)
    trainer = pl.Trainer(
        accelerator=device,
        devices=1,
        max_steps=steps + 2,
        max_epochs=-1,
        callbacks=[LightningClock(clock), *callbacks()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Classifier(network), DataLoader(data, BATCH))
    return clock.seconds / steps


CALLBACKS: dict[str, Callable[[], Sequence[pl.Callback]]] = {
    NOTHING: list,
    "ours: all probes, each 10th step": partial(_probes, 10),
    "ours: the gradient probe at every step": lambda: [GradientProbe(1)],
    "ours: all probes at every step": partial(_probes, 1),
    ".item() per parameter": lambda: [ItemLogger()],
    "Lightning's grad_norm": lambda: [GradNormLogger()],
    "a histogram per parameter (as wandb.watch)": lambda: [HistogramLogger()],
}


def run(work: str, steps: int, device: str, name: str) -> float:
    """Train with the callbacks of a name, which can be sent to another process."""
    return train(work, steps, device, CALLBACKS[name])


def measure(options: Options) -> list[Row]:
    """Return one row per network and contestant: its step time over the same without looking."""
    steps = 2 if options.quick else 20
    rows: list[Row] = []
    for work in WORKS:
        contestants: dict[str, Any] = {
            name: Contestant(partial(run, work, steps, options.device, name)) for name in CALLBACKS
        }
        seconds = race(contestants, options.rounds, options.watch, work)
        over = ratios(seconds, NOTHING)
        rows += [
            Row(
                work,
                name,
                {"time over not looking": over[name], "ms per step": Spread.of([1e3 * each for each in values])},
            )
            for name, values in seconds.items()
        ]
    return rows
