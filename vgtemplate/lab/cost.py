"""Roughly how long a task takes and how much memory it needs; decides no number.

So long tasks can start first, large ones do not run together, and the time left can be told.

The constants are seconds on one core of a 2020s server for ten replicas; what other machines make of them is measured
while the arms run.
"""

from __future__ import annotations

import statistics

from vgtemplate.config.network import ModelConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.strict import MOST
from vgtemplate.jobs.job import Job
from vgtemplate.lab.check_job import CheckJob

_START = 1.0
_TEST_IMAGES = 10_000
_PROBED_STEPS = 50
_PIXELS = 28 * 28
_RESNET_PIXELS = 32 * 32
_RESNET_RATE = 75e9
"""Operations per second of a residual network's grouped convolutions."""
_OWN_STEP, _OWN_MEGABYTES = 0.1, 50.0
"""Of a network of one's own nothing is known: seconds of a step of 128 images, and memory per seed."""
_OWN_NUM_TRAIN = 10_000
"""Of data of one's own that are taken whole nobody says how many there are before they are loaded."""
_NORMS = 5e-5
"""Seconds of the norms of a layer's gradient and weights."""
_COPIES = 8
"""Tensors of a layer's size that are alive for each layer of a convolutional network; half as many for others."""


def _relative_size(model: ModelConfig) -> float:
    """Return the mean number of pixels of a layer over that of the image; three stages halve it twice."""
    return 1.0 if model.output == "image" or model.num_stages == 1 else 0.44


def _resnet_seconds(model: ModelConfig, batch_size: int) -> float:
    """Return the seconds of one training step on images of 32x32: each layer has as many products as any other."""
    products = max(1, model.depth - 2) * 9 * model.widths()[0] ** 2 * _RESNET_PIXELS
    # Forward and backward, ten replicas, two operations per product.
    return 6 * products * batch_size * 10 / _RESNET_RATE


def _layer_seconds(model: ModelConfig, batch_size: int) -> float:
    """Return the seconds of one hidden layer in one training step, forward and backward."""
    width = statistics.mean(model.widths())
    if model.kind == "cnn":
        return 0.021 * _relative_size(model) * (width / 8) * (batch_size / 32)
    normalised = 0.0 if model.norm == "none" else 0.9e-3 * width / 64
    return (0.35e-3 * (width / 64) * (1 + width / 64) + normalised) * batch_size / 128


def _network_seconds(config: ArmConfig) -> float:
    """Return the seconds of a network in one training step, forward and backward."""
    model, batch = config.built_in, config.data.batch_size
    if model is None:
        return _OWN_STEP * batch / 128
    return _resnet_seconds(model, batch) if model.kind == "resnet" else model.depth * _layer_seconds(model, batch)


def _num_train(config: ArmConfig) -> int:
    return _OWN_NUM_TRAIN if config.data.num_train == MOST else config.data.num_train


def estimate_seconds(config: ArmConfig, num_seeds: int) -> float:
    """Return the rough time of an arm on one core; early stops are not foreseen."""
    training, probes, batch = config.training, config.probes, config.data.batch_size
    depth = 1 if config.built_in is None else config.built_in.depth
    steps = training.steps if training.epochs is None else training.epochs * max(1, _num_train(config) // batch)
    step = (2e-3 * batch / 128 + _network_seconds(config)) * training.accumulate
    forward_only = step / 3 / batch
    seconds = steps * step
    if training.evaluate:
        seconds += (config.data.num_test or _TEST_IMAGES) * forward_only
    if training.evaluate_train:
        seconds += _num_train(config) * forward_only
    if probes.every != 0:
        probed = steps / probes.every if probes.every else min(steps, _PROBED_STEPS)
        look = probes.num_images * forward_only
        seconds += 2 * look
        replayed = 2 * look if probes.shift else 0.0
        replayed += step * depth / 2 if probes.gradient_change else 0
        seconds += probed * (step + replayed)
        seconds += steps * depth * _NORMS if probes.growth else 0.0
        seconds += (depth - 1) * (config.data.num_test or _TEST_IMAGES) * forward_only if probes.removal else 0.0
        seconds += 6 * look if probes.zero_gradients else 0.0
    if config.pretraining.kind != "none":
        seconds += depth * config.pretraining.steps * 6e-3
    double = 1.5 if training.precision == "64-true" else 1.0
    return _START + seconds * double * num_seeds / 10


def estimate_megabytes(config: ArmConfig, num_seeds: int) -> float:
    """Return the rough memory of an arm's activations, on images of 28x28; a worker needs several hundred beside it."""
    model = config.built_in
    if model is None:
        return _OWN_MEGABYTES * num_seeds
    units = float(sum(model.widths())) * (1 if model.kind == "mlp" else _PIXELS * _relative_size(model))
    copies = _COPIES / 2 if model.kind == "mlp" else _COPIES
    size = 8 if config.training.precision == "64-true" else 4
    return units * config.data.batch_size * num_seeds * copies * size / 1e6


def task_seconds(task: Job | CheckJob) -> float:
    """Return roughly how long a task takes on one core, in seconds."""
    return estimate_seconds(task.config, len(task.seeds)) if isinstance(task, Job) else 1.0


def task_megabytes(task: Job | CheckJob) -> float:
    """Return roughly how much memory a task's tensors take, in megabytes."""
    return estimate_megabytes(task.config, len(task.seeds)) if isinstance(task, Job) else 0.0
