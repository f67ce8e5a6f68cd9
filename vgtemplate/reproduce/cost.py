"""Roughly how long an arm takes, so that long ones start first and the time left can be told; decides no number.

The constants are seconds on one core of a 2020s server for ten replicas; what other machines make of them is measured
while the arms run.
"""

from __future__ import annotations

import statistics

from vgtemplate.config.schema import ArmConfig, ModelConfig

_START = 1.0
_TEST_IMAGES = 10_000
_PROBED_STEPS = 50


def _layer_seconds(model: ModelConfig, batch_size: int) -> float:
    """Return the seconds of one hidden layer in one training step, forward and backward."""
    width = statistics.mean(model.widths())
    if model.kind == "cnn":
        # Images of 28x28; three stages halve them twice.
        size = 1.0 if model.output == "image" or model.num_stages == 1 else 0.44
        return 0.021 * size * (width / 8) * (batch_size / 32)
    normalised = 0.0 if model.norm == "none" else 0.9e-3 * width / 64
    return (0.35e-3 * (width / 64) * (1 + width / 64) + normalised) * batch_size / 128


def estimate_seconds(config: ArmConfig, num_seeds: int) -> float:
    """Return the rough time of an arm on one core; early stops are not foreseen."""
    model, training, probes, batch = config.model, config.training, config.probes, config.data.batch_size
    steps = training.steps if training.epochs is None else training.epochs * max(1, config.data.num_train // batch)
    layer = _layer_seconds(model, batch)
    step = 2e-3 * batch / 128 + model.depth * layer
    forward_only = step / 3 / batch
    seconds = steps * step
    if training.evaluate:
        seconds += (config.data.num_test or _TEST_IMAGES) * forward_only
    if probes.every != 0:
        probed = steps / probes.every if probes.every else min(steps, _PROBED_STEPS)
        replayed = probes.num_images * forward_only * (2 if probes.shift else 1)
        replayed += step * model.depth / 2 if probes.gradient_change else 0
        seconds += probed * (step + replayed)
    if config.pretraining.kind != "none":
        seconds += model.depth * config.pretraining.steps * 6e-3
    double = 1.5 if training.precision == "64-true" else 1.0
    return _START + seconds * double * num_seeds / 10
