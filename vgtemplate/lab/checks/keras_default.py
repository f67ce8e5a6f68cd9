"""Check of what Keras does by default, with Keras itself; nothing else of the project needs it."""

from __future__ import annotations

import importlib
import math
import os

import numpy as np
from scipy import stats

from vgtemplate.config.seeding import Stream, derive
from vgtemplate.lab.checks.registry import check

_FAN_IN, _FAN_OUT = 256, 512


@check(
    "keras.layers.Dense, fans 256 and 512, built as it comes; scipy.stats.kstest",
    quantities="normal_ks_p uniform_ks_p class_is_normal",
    needs="keras",
)
def keras_default_initialiser() -> dict[str, float]:
    """Hold the weights of a dense layer of Keras against Glorot's normal and uniform distributions.

    Glorot's normal distribution is the plain one, or that of Keras's GlorotNormal, which is cut off at two deviations
    and widened to the same variance: the larger p of the two.
    """
    # Keras needs a backend, and torch is here.
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = importlib.import_module("keras")
    default = keras.layers.Dense(_FAN_OUT).kernel_initializer
    seeded = type(default).from_config(default.get_config() | {"seed": derive(57, Stream.CHECKS) % 2**31})
    layer = keras.layers.Dense(_FAN_OUT, kernel_initializer=seeded)
    layer.build((None, _FAN_IN))
    weights = np.asarray(layer.get_weights()[0], dtype=np.float64).ravel()
    variance = 2 / (_FAN_IN + _FAN_OUT)
    edge = math.sqrt(3 * variance)
    cut_off = stats.truncnorm(-2, 2)
    normal = stats.norm(scale=math.sqrt(variance)), stats.truncnorm(-2, 2, scale=math.sqrt(variance / cut_off.var()))
    return {
        "normal_ks_p": max(float(stats.kstest(weights, law.cdf, method="asymp").pvalue) for law in normal),
        "uniform_ks_p": float(stats.kstest(weights, stats.uniform(-edge, 2 * edge).cdf, method="asymp").pvalue),
        "class_is_normal": float("normal" in type(default).__name__.lower()),
    }
