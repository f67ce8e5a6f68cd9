"""The third zoo's trainings that are well, by name. The ill shelves put their faults into these."""
# ruff: noqa: E501 - a training is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.doctor.case import Training
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks as more
from benchmarks.doctor.second.common import by, classify, next_one, squared
from benchmarks.doctor.second.pool import Well
from benchmarks.doctor.third import healthy_nets as nets
from benchmarks.doctor.third import healthy_sequences as sequences
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_generative import world_model
from benchmarks.doctor.third.healthy_losses import matrix, mixture

POOL: dict[str, Well] = {
    "separable": Well(nets.separable, tasks.motifs, classify, "adam", 5e-3, "convolutional"),
    "solid": Well(nets.solid, tasks.volumes, classify, "adam", 5e-3, "convolutional"),
    "arms": Well(partial(mlp, 2, 3, 48, 2), tasks.spirals, classify, "adam", 1e-2, "dense"),
    "table": Well(partial(mlp, 10, 1, 48, 2), tasks.friedman, squared, "adam", 5e-3, "tables"),
    "kernels": Well(nets.kernels, tasks.spirals, classify, "adam", 5e-2, "kernels"),
    "perceiver": Well(nets.latents, tasks.motifs, classify, "adam", 5e-3, "transformers from scratch"),
    "operator": Well(nets.operator, tasks.heat, squared, "adam", 1e-2, "physics"),
    "handfuls": Well(nets.summed, tasks.handfuls, squared, "adam", 3e-3, "sets"),
    "molecules": Well(partial(nets.messages, "gru"), tasks.molecules, nets.molecular, "adam", 5e-3, "graph nets"),
    "sorter": Well(sequences.sorter, tasks.sorting, sequences.sorted_, "adam", 3e-3, "transformers"),
    "reviews": Well(sequences.padded, tasks.reviews, classify, "adam", 5e-3, "transformers"),
    "text": Well(sequences.text_cnn, tasks.reviews, classify, "adam", 1e-2, "convolutional"),
    "states": Well(sequences.state_space, tasks.opening, squared, "adam", 5e-3, "recurrent"),
    "alibi": Well(
        partial(sequences.linear_attention, kind="alibi"),
        more.corpus,
        next_one,
        "adamw",
        3e-3,
        "transformers from scratch",
    ),
    "glu": Well(sequences.gated_convolutions, more.corpus, next_one, "nesterov", 0.1, "convolutional"),
    "brackets": Well(sequences.projected, tasks.brackets, classify, "adam", 1e-2, "recurrent"),
    "mixture": Well(partial(mlp, 1, 12, 32, 1, nn.Tanh), tasks.inverse, mixture, "adam", 1e-2, "densities"),
    "matrix": Well(matrix, tasks.ratings, squared, "adam", 2e-2, "embeddings"),
    "pendulum": Well(partial(world_model, "net"), tasks.pendulum, squared, "adam", 1e-2, "physics"),
}


def take(seed: int, name: str, **other: Any) -> Training:
    """Return a training of the pool; `other` replaces its net, make, loss, way or rate, or adds a score or an optimizer."""
    score, optimizer = other.pop("score", None), other.pop("optimizer", None)
    well = POOL[name]._replace(**other)
    model = well.net()
    return Training(
        model, well.make(seed), optimizer or by(well.way, well.rate, model.parameters()), well.loss, score=score
    )


def wrongly(name: str, seed: int, sign: bool = False) -> Any:
    """Return a score: the share of one batch that the largest output (or the sign of the only one) gets wrong."""
    batch = next(iter(POOL[name].make(seed)))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            out = model(*batch[:-1])
            return float(((out[:, 0] > 0).long() if sign else out.argmax(-1)).ne(batch[-1]).float().mean())

    return score
