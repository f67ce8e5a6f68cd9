"""Arms drawn at random: every kind of network, optimiser, pretraining and end that a run can have, small."""

from __future__ import annotations

import random
from typing import Any

from vgtemplate.config.load import overlay

OWN_CODE = '''"""A network and a LightningModule as people write them."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class Rows(nn.Module):
    """Reads an image row by row."""

    def __init__(self, input_shape, num_classes, width=8):
        super().__init__()
        self.layer = nn.GRU(input_shape[-1], width, 2, batch_first=True, dropout=0.2)
        self.output = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.output(self.layer(x.squeeze(1))[0][:, -1])


class Dense(nn.Module):
    def __init__(self, num_classes, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Tanh(), nn.Dropout(0.1))
        self.output = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.output(self.layers(x))


class Own(pl.LightningModule):
    """Has its own loss and optimiser."""

    def __init__(self, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.2))
        self.output = nn.Linear(width, 10)

    def training_step(self, batch, _):
        images, labels = batch
        loss = F.cross_entropy(self.output(self.layers(images)), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)
'''
KINDS = (*("mlp",) * 5, "cnn", "resnet", "pretrained", "own network", "own network, at once", "own module")
_NUMBERS, _BATCHES = (100, 200, 400), (16, 32, 64)
_ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu", "selu", "leaky_relu", "prelu", "rrelu")
_OPTIMISERS: tuple[dict[str, Any], ...] = (
    {"name": "sgd", "lr": 0.1},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
    {"name": "adam", "lr": 0.01},
    {"name": "adamw", "lr": 0.003, "schedule": "cosine", "warm_up": 5},
    {"name": "sgd", "lr": 0.1, "schedule": "step", "l1": 1e-5},
    {"name": "sgd", "lr": 1e9},
)
_ENDS: tuple[dict[str, Any], ...] = (
    *({},) * 4,
    {"training": {"stop_loss": 1.5}},
    {"training": {"epochs": 8, "stop_accuracy": 0.5}},
    {"training": {"epochs": 5}},
    {"training": {"accumulate": 3}},
)
_WATCHED: tuple[dict[str, Any], ...] = (
    *({},) * 4,
    {"data": {"num_validation": 40}, "training": {"validate_every": 7}},
    {"data": {"num_validation": 40}, "training": {"validate_every": 1}},
    {"probes": {"every": 0}},
    {"probes": {"every": 1, "shift": True, "growth": True}},
    {"probes": {"gradient_change": True}},
)
_CLIPPING = ("none", "none", "norm", "value")
_PRETRAINING = ("rbm", "autoencoder")


def draw_arm(draw: random.Random) -> tuple[str, dict[str, Any]]:
    """Return the kind of an arm, and the arm."""
    kind = draw.choice(KINDS)
    arm: dict[str, Any] = {
        "data": {"dataset": "digits", "num_train": draw.choice(_NUMBERS), "batch_size": draw.choice(_BATCHES)},
        "training": {"steps": draw.randint(15, 60)},
        "probes": {"every": draw.choice((1, 3, 10)), "num_images": 50},
    }
    if kind == "own module":
        arm["data"]["num_validation"] = 0
        return kind, arm | {"module": {"factory": "own_code:Own", "settings": {"width": draw.choice((4, 16))}}}
    arm["optimiser"] = dict(draw.choice(_OPTIMISERS))
    arm["clipping"] = {"kind": draw.choice(_CLIPPING), "threshold": 0.1}
    for more in (draw.choice(_ENDS), draw.choice(_WATCHED)):
        arm = overlay(arm, more)
    return kind, overlay(arm, _network(kind, draw))


def _network(kind: str, draw: random.Random) -> dict[str, Any]:
    if kind.startswith("own"):
        name = "Dense" if "at once" in kind else "Rows"
        return {"model": {"factory": f"own_code:{name}", "settings": {"width": draw.choice((4, 12))}}}
    if kind == "pretrained":
        model = {"depth": draw.randint(1, 3), "width": 16, "activation": "sigmoid"}
        return {"model": model, "pretraining": {"kind": draw.choice(_PRETRAINING), "steps": draw.randint(5, 30)}}
    model = {"activation": draw.choice(_ACTIVATIONS), "norm": draw.choice(("none", "batch")), "width": 4, "kind": kind}
    if kind == "mlp":
        return {"model": model | {"depth": draw.randint(1, 8), "width": 16, **_of_mlp(draw)}}
    if kind == "cnn":
        return {"model": model | {"depth": draw.randint(2, 3)}}
    residual = draw.choice((True, False))
    return {
        "model": model | {"depth": 8, "residual": residual},
        "data": {"augment": draw.choice(("none", "crop_flip"))},
    }


def _of_mlp(draw: random.Random) -> dict[str, Any]:
    return {"residual": draw.choice((True, False)), "dropout": draw.choice((0.0, 0.0, 0.3))}
