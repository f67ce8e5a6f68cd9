"""Healthy: raw inputs that a norm takes, targets in their unit with a head that fits, rare classes, Lightning."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, cook, dice, script, tokens_ce
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES
from benchmarks.doctor.fourth.sequences import DeepConvLSTM
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.vision import RECIPES as EYES
from benchmarks.doctor.fourth.vision import BoxNet


class Pixels(nn.Module):
    """A sigmoid times the picture's width."""

    def forward(self, x: Tensor) -> Any:
        return 16 * torch.sigmoid(x)


class TiedModel(nn.Module):
    """A GRU language model whose output has the embedding's weights, with much dropout."""

    def __init__(self, vocab: int = 27, dim: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.decoder = nn.Linear(dim, vocab)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        self.drop = nn.Dropout(0.4)

    def forward(self, x: Tensor) -> Any:
        return self.decoder(self.drop(self.rnn(self.drop(self.encoder(x)))[0]))


def letters(seed: int) -> Batches:
    """Return all letters of a name but the last, and all but the first."""
    x = data.names(seed).tensors[0]
    return Batches((x[:, :-1], x[:, 1:]), 32, seed)


def rare(seed: int, size: int = 64) -> Batches:
    """Return a table of which one in 25 is a yes."""
    g = dice(seed)
    x = torch.randn(2560, 6, generator=g)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > torch.quantile(x[:, 0] + x[:, 1] * x[:, 2], 0.96)).float()
    return Batches((x, y[:, None]), size, seed)


def fraud() -> nn.Sequential:
    """Return a small network whose last bias is the log odds of a yes."""
    net = nn.Sequential(nn.Linear(6, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    nn.init.constant_(net[5].bias, -3.2)  # type: ignore[arg-type]
    return net


def weighted(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross entropy with the rare class weighed by ten."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1], pos_weight=torch.tensor(10.0))


class LitDigits(pl.LightningModule):
    """A plain module as in Lightning's README: a scheduler, a logged loss, a frozen first layer if asked."""

    def __init__(self, freeze: bool = False, patience: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64))
        self.classifier = nn.Linear(16, 10)
        self.patience = patience
        if freeze:
            self.encoder[0].requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        z = self.encoder(x)
        return F.cross_entropy(self.classifier(F.relu(z)), y) + 0.5 * F.mse_loss(self.decoder(z), x)

    def configure_optimizers(self) -> Any:
        opt = torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], 5e-3)
        if not self.patience:
            return opt
        sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 80)
        return {"optimizer": opt, "lr_scheduler": {"scheduler": sched, "interval": "step"}}


def lightning(seed: int, trainer: dict[str, Any], **settings: Any) -> Training:
    """Return a training of `LitDigits`."""
    return Training(LitDigits(**settings), digits(seed), trainer=trainer)


TIED = Recipe("tied weights", TiedModel, letters, tokens_ce, "adam", 1e-2)
FRAUD = Recipe("imbalance", fraud, rare, weighted, "adam", 5e-3)

CASES: list[Case] = [
    script(
        "deepconvlstm-raw-into-norm",
        "recurrent",
        lambda seed: cook(
            SERIES["deepconvlstm"], seed, net=partial(DeepConvLSTM, True), data=partial(data.activity, raw=True)
        ),
    ),
    script(
        "entity-embeddings-raw-into-norm",
        "tables",
        lambda seed: cook(TABLES["entity-embeddings"], seed, data=partial(data.adult, raw=True)),
    ),
    script(
        "box-in-pixels",
        "detection",
        lambda seed: cook(EYES["box"], seed, net=lambda: BoxNet(Pixels()), data=partial(data.boxes, pixels=16.0)),
    ),
    script(
        "patchtst-in-its-unit",
        "forecasting",
        lambda seed: cook(
            SERIES["patchtst"],
            seed,
            data=partial(data.demand, scale=40.0, shift=900.0),
            loss=lambda m, b: F.l1_loss(m(b[0]), b[1]),
        ),
    ),
    script("names-tied-dropout", "tied weights", lambda seed: cook(TIED, seed), 120),
    script("fraud-weighted", "imbalance", lambda seed: cook(FRAUD, seed), 80),
    script("fraud-weighted-rmsprop", "imbalance", lambda seed: cook(FRAUD, seed, way="rmsprop", rate=2e-3), 100),
    script("lit-two-losses", "lightning", lightning, trainer={}, patience=True),
    script("lit-frozen-clipped", "lightning", lightning, trainer={"gradient_clip_val": 0.5}, freeze=True),
    script("lit-accumulates-bf16", "lightning", lightning, 80, trainer={"accumulate_grad_batches": 2, "precision": "bf16-mixed"}),
]  # fmt: skip
