"""Healthy: each recipe once as it is, some with another optimiser."""

from __future__ import annotations

from benchmarks.doctor.case import Case
from benchmarks.doctor.fourth import generative, graphs, science, sequences, tables, vision
from benchmarks.doctor.fourth.parts import Recipe, well

ALL: dict[str, Recipe] = {
    name: recipe
    for shelf in (vision, sequences, tables, graphs, generative, science)
    for name, recipe in shelf.RECIPES.items()
}
LONGER = {
    "tcn": 120,
    "spiking": 100,
    "selective-scan": 150,
    "memory-network": 100,
    "trans-e": 100,
    "slots": 80,
    "lagrangian": 80,
}
OTHERS = {
    "capsules": ("radam", 5e-3),
    "tcn": ("adamw", 5e-3),
    "deepar": ("rmsprop", 5e-3),
    "gated-residual": ("amsgrad", 5e-3),
    "ft-transformer": ("adafactor", 1e-2),
    "self-normalising": ("adam", 1e-3),
    "neumf": ("adagrad", 0.1),
    "topic-model": ("adamw", 1e-2),
    "graph-transformer": ("sgd", 0.02),
    "egnn": ("nadam", 2e-3),
    "simclr": ("sgd", 0.1),
    "koopman": ("adamax", 1e-2),
    "batch-ensemble": ("adam", 5e-3),
}

CASES: list[Case] = [
    *[well(f"{name}-as-written", recipe, LONGER.get(name, 60)) for name, recipe in ALL.items()],
    *[
        well(f"{name}-by-{way}", ALL[name], LONGER.get(name, 60), way=way, rate=rate)
        for name, (way, rate) in OTHERS.items()
    ],
]
