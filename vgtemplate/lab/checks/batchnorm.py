"""Check of batch normalisation: what the layer holds, its outputs' moments in training, what it uses at test."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.lab.checks.registry import check, largest_error
from vgtemplate.nn.norm import EPS, MOMENTUM, BatchNorm
from vgtemplate.records import Array


def _moments(x: Array) -> tuple[Array, Array]:
    """Return mean and variance per replica and feature: (R, B, C) or (R, B, C, H, W) to two (R, C)."""
    axes = (1,) if x.ndim == 3 else (1, 3, 4)
    return x.mean(axis=axes), x.var(axis=axes)


def _set(norm: BatchNorm, gamma: Array, beta: Array) -> None:
    norm.get_parameter("weight").data, norm.get_parameter("bias").data = map(torch.from_numpy, (gamma, beta))


def _training_moment_errors(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[float, float]:
    """Return the largest |mean - beta| / |gamma| and |deviation / |gamma| - 1| of a training batch's outputs.

    The inputs are exponential, since only their moments should matter, of deviation 1 to 20 and any mean.
    """
    norm = BatchNorm(shape[0], shape[2]).double()
    gamma, beta = rng.normal(size=(2, shape[0], shape[2]))
    _set(norm, gamma, beta)
    wide = (shape[0], 1, shape[2]) + (1,) * (len(shape) - 3)
    x = rng.exponential(size=shape)
    x = (x - x.mean()) / np.sqrt(_moments(x)[1]).reshape(wide)
    x = x * rng.uniform(1, 20, size=wide) + rng.normal(scale=10, size=wide)
    mean, variance = _moments(norm(torch.from_numpy(x)).detach().numpy())
    return (
        float((np.abs(mean - beta) / np.abs(gamma)).max()),
        float(np.abs(np.sqrt(variance) / np.abs(gamma) - 1).max()),
    )


def _count_vectors(norm: BatchNorm, x: Tensor) -> dict[str, float]:
    """Count the layer's vectors of one number per feature: those with a gradient, and those a training pass moves."""
    before = {name: tensor.clone() for name, tensor in norm.named_buffers()}
    (norm(x) ** 3).sum().backward()
    size = (1, x.shape[2])
    learned = [p for p in norm.parameters() if p.shape == size and p.grad is not None and bool(p.grad.all())]
    estimated = [b for name, b in norm.named_buffers() if b.shape == size and bool((b != before[name]).all())]
    every = [*norm.parameters(), *norm.buffers()]
    counts = {"vectors": len(every), "learned_vectors": len(learned), "estimated_vectors": len(estimated)}
    return {name: float(count) for name, count in counts.items()}


def _run(norm: BatchNorm, batch: Array) -> Array:
    """Return the outputs of the layer's one replica, (B, C)."""
    return norm(torch.from_numpy(batch)[None]).detach().numpy()[0]  # type: ignore[no-any-return]


def _train_estimates(norm: BatchNorm, mean: Array, deviation: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Train on 200 batches from N(mean, deviation^2); return the running averages as NumPy computes them."""
    averages = np.zeros_like(mean), np.ones_like(mean)
    for _ in range(200):
        batch = rng.normal(mean, deviation, size=(512, len(mean)))
        _run(norm, batch)
        moments = batch.mean(axis=0), batch.var(axis=0, ddof=1)
        averages = tuple((1 - MOMENTUM) * a + MOMENTUM * m for a, m in zip(averages, moments, strict=True))
    return averages


def _measure_test_mode(norm: BatchNorm, mean: Array, variance: Array, rng: np.random.Generator) -> dict[str, float]:
    """Pass one row within two batches of very different statistics through the layer, in training and at test."""
    row = rng.normal(size=(1, len(mean)))
    others = (rng.normal(size=(63, len(mean))), rng.normal(50, 9, size=(63, len(mean))))
    batches = [np.concatenate([row, rest]) for rest in others]
    in_training = [_run(copy.deepcopy(norm), batch)[0] for batch in batches]
    gamma, beta = rng.normal(size=(2, len(mean)))
    _set(norm, gamma[None], beta[None])
    norm.eval()
    held = norm.running_mean.clone(), norm.running_var.clone()
    at_test = [_run(norm, batch) for batch in batches]
    expected = [gamma * (batch - mean) / np.sqrt(variance + EPS) + beta for batch in batches]
    changes = (norm.running_mean - held[0]).abs().max(), (norm.running_var - held[1]).abs().max()
    return {
        "test_formula_error": max(largest_error(*pair) for pair in zip(at_test, expected, strict=True)),
        "test_estimate_change": max(float(change) for change in changes),
        "test_row_difference": largest_error(at_test[0][0], at_test[1][0]),
        "training_row_difference": largest_error(*in_training),
    }


@check(
    "Ioffe & Szegedy 2015, algorithms 1 and 2, in NumPy",
    quantities=(
        "vectors learned_vectors estimated_vectors mean_error deviation_error estimate_formula_error "
        "mean_estimate_error deviation_estimate_error test_formula_error test_estimate_change test_row_difference "
        "training_row_difference"
    ),
)
def batchnorm_moments() -> dict[str, float]:
    """Measure what a BN layer holds, its outputs' moments in training, and what it uses at test."""
    rng = generator(6, Stream.CHECKS)
    counts = _count_vectors(BatchNorm(1, 8).double(), torch.from_numpy(rng.normal(size=(1, 32, 8))))
    errors = [_training_moment_errors(shape, rng) for shape in ((3, 256, 8), (3, 32, 8, 5, 5))]
    norm = BatchNorm(1, 8).double()
    true_mean, true_deviation = rng.normal(scale=5, size=8), rng.uniform(1, 4, size=8)
    mean, variance = _train_estimates(norm, true_mean, true_deviation, rng)
    held_mean, held_variance = norm.running_mean[0].numpy().copy(), norm.running_var[0].numpy().copy()
    return {
        **counts,
        "mean_error": max(error for error, _ in errors),
        "deviation_error": max(error for _, error in errors),
        "estimate_formula_error": max(largest_error(held_mean, mean), largest_error(held_variance, variance)),
        "mean_estimate_error": float((np.abs(held_mean - true_mean) / true_deviation).max()),
        "deviation_estimate_error": float(np.abs(np.sqrt(held_variance) / true_deviation - 1).max()),
        **_measure_test_mode(norm, mean, variance, rng),
    }
