"""Healthy dense networks: activations, initialisers, norms, residual streams, and what only looks ill."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, grid, healthy, usual
from benchmarks.doctor.losses import classify, regress
from benchmarks.doctor.nets import Residual, he, mlp, resmlp


class Sine(nn.Module):
    """sin(w x), as in SIREN."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.factor * x)


def sparse() -> nn.Module:
    """ReLUs that are off for nine samples of ten, but each on for some."""
    net = mlp(64, 10, 256, 2)
    for layer, bias in ((net[0], -1.1), (net[2], -0.25)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.constant_(layer.bias, bias)
    return net


def small_tanh() -> nn.Module:
    """tanh in its linear part: small, and not saturated."""
    net = mlp(64, 10, 64, 2, nn.Tanh)
    nn.init.normal_(net[0].weight, std=0.01)
    nn.init.orthogonal_(net[2].weight)
    return net


def zero_head() -> nn.Module:
    """The last layer starts at zero, as a policy's or a fine-tuned head does."""
    net = mlp(64, 10, 64, 2)
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net


def skip_init() -> nn.Module:
    """Branches whose last layer starts at zero."""
    net = resmlp(64, 10, depth=5, norm=False)
    for block in net:
        if isinstance(block, Residual):
            nn.init.zeros_(block.body[-1].weight)
            nn.init.zeros_(block.body[-1].bias)
    return net


def orthogonal() -> nn.Module:
    """Ten tanh layers at the edge of chaos."""
    net = mlp(64, 10, 48, 10, nn.Tanh)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, 1.05)
            nn.init.zeros_(layer.bias)
    return net


def selu() -> nn.Module:
    """Eight self-normalising layers."""
    return he(mlp(64, 10, 48, 8, nn.SELU), 1.0)


def glu() -> nn.Module:
    """Gated linear units."""
    return nn.Sequential(nn.Linear(64, 96), nn.GLU(), nn.Linear(48, 96), nn.GLU(), nn.Linear(48, 10))


def one_layer() -> nn.Module:
    """Logistic regression, all weights zero: symmetric, and right so."""
    net = nn.Linear(64, 10)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    return net


BOTH = {"sgd": 0.05, "adam": 1e-3}
ALL = {"sgd": 0.05, "adam": 1e-3, "rmsprop": 1e-3}

CASES: list[Case] = [
    *grid("mlp-relu", "dense", partial(mlp, 64, 10), data.digits, classify, {**ALL, "adamw": 3e-3}),
    *grid("mlp-relu-he-8", "dense", lambda: he(mlp(64, 10, 48, 8)), data.digits, classify, {"sgd": 0.02, "adam": 1e-3}),
    *grid("mlp-tanh", "dense", partial(mlp, 64, 10, act=nn.Tanh), data.digits, classify, ALL),
    *grid("mlp-gelu-layernorm", "dense", partial(mlp, 64, 10, act=nn.GELU, norm=nn.LayerNorm), data.digits, classify, BOTH),
    *grid("mlp-silu", "dense", partial(mlp, 64, 10, act=nn.SiLU), data.digits, classify, {"sgd": 0.1, "adamw": 2e-3}),
    *grid("mlp-sigmoid-shallow", "dense", partial(mlp, 64, 10, 64, 1, nn.Sigmoid), data.digits, classify, {"sgd": 0.2, "adam": 5e-3}),
    *grid("mlp-batchnorm-12", "dense", partial(mlp, 64, 10, 48, 12, norm=nn.BatchNorm1d), data.digits, classify, {"sgd": 0.02, "adam": 2e-3}),
    *grid("mlp-leaky", "dense", partial(mlp, 64, 10, act=partial(nn.LeakyReLU, 0.1)), data.digits, classify, {"rmsprop": 1e-3}),
    *grid("mlp-elu", "dense", partial(mlp, 64, 10, act=nn.ELU), data.digits, classify, {"sgd": 0.03}),
    *grid("mlp-prelu", "dense", partial(mlp, 64, 10, act=nn.PReLU), data.digits, classify, {"adam": 1e-3}),
    *grid("mlp-hardswish", "dense", partial(mlp, 64, 10, act=nn.Hardswish), data.digits, classify, {"adam": 2e-3}),
    *grid("mlp-softsign", "dense", partial(mlp, 64, 10, act=nn.Softsign), data.digits, classify, {"adam": 2e-3}),
    *grid("selu-8", "dense", selu, data.digits, classify, {"sgd": 0.01, "adam": 5e-4}),
    *grid("tanh-orthogonal-10", "dense", orthogonal, data.digits, classify, {"sgd": 0.01, "adam": 5e-4}),
    *grid("glu", "dense", glu, data.digits, classify, {"adam": 3e-3}),
    *grid("sparse-relu", "sparse activations", sparse, data.digits, classify, {"sgd": 0.02, "adam": 1e-3}),
    *grid("small-tanh", "dense", small_tanh, data.digits, classify, {"adam": 1e-3, "rmsprop": 1e-3}),
    *grid("zero-head", "zero branches", zero_head, data.digits, classify, BOTH),
    *grid("logistic-from-zero", "dense", one_layer, data.digits, classify, {"plain": 0.1, "adam": 1e-2}),
    *grid("resmlp-prenorm", "residual", partial(resmlp, 64, 10), data.digits, classify, {"sgd": 0.05, "adamw": 1e-3}),
    *grid("resmlp-12", "residual", partial(resmlp, 64, 10, depth=12), data.digits, classify, {"sgd": 0.02, "adam": 1e-3}, 40),
    *grid("resmlp-no-norm-10", "residual", partial(resmlp, 64, 10, depth=10, norm=False), data.digits, classify, {"adam": 1e-3}, 40),
    *grid("rezero", "zero branches", partial(resmlp, 64, 10, depth=6, scale=0.0, norm=False), data.digits, classify, {"sgd": 0.05, "adam": 2e-3}),
    *grid("skip-init", "zero branches", skip_init, data.digits, classify, {"sgd": 0.05, "adam": 1e-3}),
    *grid("regress-tanh", "regression", partial(mlp, 8, 1, act=nn.Tanh), data.teacher, regress, {"sgd": 0.03, "adam": 3e-3}),
    *grid("regress-relu", "regression", partial(mlp, 8, 1), data.teacher, regress, {"adam": 3e-3, "rmsprop": 2e-3}),
    *grid("regress-shifted", "regression", partial(mlp, 8, 1), partial(data.teacher, scale=2.0, shift=3.0), regress, {"adam": 5e-3}),
    *grid("regress-sine", "regression", partial(mlp, 8, 1, act=Sine), data.teacher, regress, {"adam": 3e-3}),
    *grid("table", "dense", partial(mlp, 12, 2, 32, 2), data.table, classify, {"sgd": 0.1, "adam": 5e-3}),
    healthy(
        "small-batch-4", "dense", usual(partial(mlp, 64, 10), partial(data.digits, size=4), classify, "sgd", 0.01), 200
    ),
    healthy("batch-512", "dense", usual(partial(mlp, 64, 10), partial(data.digits, size=512), classify, "adam", 3e-3), 40),
    healthy(
        "dropout-half",
        "dense",
        usual(lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 128), nn.ReLU(),
                                    nn.Dropout(0.5), nn.Linear(128, 10)), data.digits, classify, "adam", 1e-3),
    ),
]  # fmt: skip
