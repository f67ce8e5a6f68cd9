"""Trainings that are well, by name. The ill shelves put their faults into these."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.doctor.case import Loss, Training
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, listened, next_one, squared, yes_or_no
from benchmarks.doctor.second.healthy_physics import Encoded, Flowing
from benchmarks.doctor.second.healthy_tables import Beats
from benchmarks.doctor.second.healthy_tutorials import Inception, Mixer, two_way
from benchmarks.doctor.second.nets import (
    GPT,
    Convolved,
    Elman,
    Fields,
    Highway,
    LeNet,
    Listener,
    PointNet,
    Seq2Seq,
    Siren,
    Tagger,
    ViT,
    Waves,
)


class Well(NamedTuple):
    """One training's parts."""

    net: Callable[[], nn.Module]
    make: Callable[[int], Any]
    loss: Loss
    way: str
    rate: float
    family: str


POOL: dict[str, Well] = {
    "lenet": Well(LeNet, tasks.shapes, classify, "sgd", 0.05, "tutorials"),
    "lenet-tanh": Well(partial(LeNet, nn.Tanh), tasks.shapes, classify, "adam", 5e-3, "tutorials"),
    "inception": Well(Inception, tasks.shapes, classify, "sgd", 0.02, "convolutional"),
    "mixer": Well(Mixer, tasks.shapes, classify, "adam", 3e-3, "vision from scratch"),
    "vit": Well(ViT, tasks.shapes, classify, "adamw", 3e-3, "vision from scratch"),
    "gpt": Well(GPT, tasks.corpus, next_one, "adamw", 5e-3, "transformers from scratch"),
    "tagger": Well(Tagger, tasks.tags, classify, "adam", 2e-2, "recurrent"),
    "elman": Well(Elman, partial(tasks.first_word, length=6), classify, "adam", 5e-3, "recurrent"),
    "seq2seq": Well(Seq2Seq, tasks.reversal, two_way, "adam", 1e-2, "recurrent"),
    "listener": Well(Listener, tasks.speech, listened, "adam", 5e-3, "recurrent"),
    "pointnet": Well(PointNet, tasks.clouds, classify, "adam", 5e-3, "sets"),
    "gcn": Well(Convolved, tasks.community, classify, "adam", 2e-2, "graph nets"),
    "gat": Well(partial(Convolved, "gat"), tasks.community, classify, "adam", 1e-2, "graph nets"),
    "fields": Well(Fields, tasks.clicks, yes_or_no, "adam", 1e-2, "embeddings"),
    "highway": Well(partial(Highway, 13, 3), tasks.measured, classify, "adam", 3e-3, "dense"),
    "siren": Well(Siren, tasks.picture, squared, "adam", 2e-3, "coordinates"),
    "nerf": Well(Encoded, tasks.picture, squared, "adam", 5e-3, "coordinates"),
    "ode": Well(partial(Flowing, 24, 4), tasks.factors, classify, "sgd", 0.05, "implicit"),
    "waves": Well(Waves, tasks.series, squared, "adam", 5e-3, "forecasting"),
    "beats": Well(Beats, tasks.series, squared, "adam", 3e-3, "forecasting"),
    "trees": Well(partial(mlp, 10, 1, 64, 2), tasks.trees, squared, "adam", 5e-3, "tables"),
    "labels": Well(partial(mlp, 20, 6, 48, 1), tasks.labels, yes_or_no, "adam", 5e-3, "tables"),
}


def from_pool(seed: int, name: str, **other: Any) -> Training:
    """Return a training of the pool; `other` replaces its net, make, loss, way or rate, or adds a score."""
    score = other.pop("score", None)
    well = POOL[name]._replace(**other)
    model = well.net()
    return Training(model, well.make(seed), by(well.way, well.rate, model.parameters()), well.loss, score=score)


def linears(model: nn.Module) -> list[Any]:
    """Return the linear and convolutional layers, in the order they were made."""
    return [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv1d | nn.Conv2d)]


def reweighed(
    model: nn.Module, times: float = 1.0, std: float | None = None, bias: float | None = None, last: bool = False
) -> nn.Module:
    """Change the weights of every linear and convolutional layer, of the last only if asked."""
    layers = linears(model)
    with torch.no_grad():
        for layer in layers if last else layers[:-1]:
            if std is not None:
                layer.weight.normal_(0, std)
            layer.weight.mul_(times)
            if bias is not None and layer.bias is not None:
                layer.bias.fill_(bias)
    return model
