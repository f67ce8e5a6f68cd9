"""What the theory of wide networks expects of an arm, and how it compares with what was measured; judges nothing.

The measured networks and the theory share one text, the arm's configuration.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import ValidationError

from vgtemplate.config.errors import UserError
from vgtemplate.config.network import InitialiserConfig, ModelConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.metrics.initial import gradient_slope
from vgtemplate.metrics.registry import log10
from vgtemplate.records import Array, Record
from vgtemplate.text import plain_number, write_count
from vgtemplate.theory.callables import as_activation
from vgtemplate.theory.layers import Layer
from vgtemplate.theory.numpy_activations import FORMULAS, Activation
from vgtemplate.theory.profiles import Prediction, predict_layers
from vgtemplate.theory.resnet import predict_resnet

TOLERANCE = 0.01
"""Decades per layer within which a prediction is expected to lie, for plain networks of at least WIDE units."""
WIDE = 64


OWN = "it is a model of one's own"


def built_in(config: ArmConfig) -> ModelConfig:
    """Return the settings of a built-in network; raise UserError where it is of one's own."""
    if config.built_in is None:
        raise UserError(f"the theory does not cover this network: {OWN}")
    return config.built_in


def why_not_predicted(config: ArmConfig) -> str | None:
    """Say why the theory does not cover an arm; None where it does."""
    model = config.built_in
    if model is None:
        return OWN
    if config.pretraining.kind != "none":
        return "pretrained weights are no independent draws"
    if _is_resnet(model) and model.norm != "batch":
        return "the activation stands after the shortcut, and no normalisation over the batch makes its branch Gaussian"
    if model.norm_noise:
        return "noise that is drawn anew at each step stands after the normalisation"
    if model.norm == "batch" and model.norm_position == "after" and model.bias in ("normal", "pytorch_default"):
        return "with random biases every unit has another variance for the normalisation to take out"
    return None


def _weight_std(initialiser: InitialiserConfig, kind: str, in_width: int, width: int) -> float:
    """Return the standard deviation of a layer's weights, by the initialiser's formula, or measured."""
    area = 1 if kind == "mlp" else 9
    fan_in, fan_out = in_width * area, width * area
    variances = {
        "glorot_normal": 2 / (fan_in + fan_out),
        "glorot_uniform": 2 / (fan_in + fan_out),
        "lecun_normal": 1 / fan_in,
        "lecun_uniform": 1 / fan_in,
        "he_normal": 2 / fan_in,
        "he_uniform": 2 / fan_in,
        "pytorch_default": 1 / (3 * fan_in),
        "normal": 1.0,
        "orthogonal": 1 / max(fan_in, width),
    }
    if initialiser.name in variances:
        deviation = math.sqrt(variances[initialiser.name])
    else:
        # Only what has no formula needs torch to be predicted.
        from vgtemplate.nn.for_theory import measure_weight_std

        shape = (in_width, width) if kind == "mlp" else (width, in_width, 3, 3)
        deviation = measure_weight_std(initialiser.name, shape, fan_in, fan_out)
    return deviation * initialiser.gain * (1.0 if initialiser.std is None else initialiser.std)


@cache
def theory_activation(name: str) -> Activation:
    """Return an activation of the catalogue as the theory takes it: by its formula, else by its torch function.

    Raises:
        UserError: there is none of that name.
    """
    if name in FORMULAS:
        return FORMULAS[name]
    from vgtemplate.nn.for_theory import torch_function

    return as_activation(torch_function(name))


def _bias_std(model: ModelConfig, fan_in: int) -> float:
    return {"zeros": 0.0, "none": 0.0, "normal": 1.0, "pytorch_default": 1 / math.sqrt(3 * fan_in)}[model.bias]


def describe_layers(model: ModelConfig, input_shape: Sequence[int]) -> list[Layer]:
    """Return the hidden layers of a network, for images of shape (C, H, W), as the theory sees them."""
    is_mlp = model.kind == "mlp"
    area = 1 if is_mlp else 9
    widths = [math.prod(input_shape) if is_mlp else input_shape[0], *model.widths()]
    return [
        Layer(
            in_width=in_width,
            width=width,
            weight_std=_weight_std(model.initialiser, model.kind, in_width, width),
            bias_std=_bias_std(model, in_width * area),
            kernel=1 if is_mlp else 3,
            stride=stride,
            norm=model.norm,
            norm_position=model.norm_position,
            residual=model.residual and not _is_resnet(model) and index > 0 and in_width == width,
            dropout=model.dropout,
        )
        for index, ((in_width, width), stride) in enumerate(zip(pairwise(widths), model.strides(), strict=True))
    ]


def predict_arm(config: ArmConfig, input_shape: Sequence[int], inputs: Array | None = None) -> Prediction:
    """Predict an arm's signal and gradient before the first update, for images of shape (C, H, W).

    Args:
        inputs: mean square of each pixel of some images, (N, H, W), (N, 1, 1) for an mlp; None: standardised ones.

    Raises:
        UserError: the theory does not cover it.
    """
    if (reason := why_not_predicted(config)) is not None:
        raise UserError(f"the theory does not cover this network: {reason}")
    activation = theory_activation(built_in(config).activation)
    layers, squares = layers_and_inputs(config, input_shape, inputs)
    if _is_resnet(built_in(config)):
        return predict_resnet(activation, layers)
    return predict_layers(activation, layers, squares)


def _is_resnet(model: ModelConfig) -> bool:
    """Say whether the shortcuts go past two layers, and the activation stands after them."""
    return model.kind == "resnet" and model.residual


def layers_and_inputs(
    config: ArmConfig, input_shape: Sequence[int], inputs: Array | None = None
) -> tuple[list[Layer], Array]:
    """Return what the theory needs to know of an arm and its images; arguments as in `predict_arm`."""
    model = built_in(config)
    size = (1, 1) if model.kind == "mlp" else tuple(input_shape[1:])
    squares = np.ones((1, *size)) if inputs is None else np.asarray(inputs, dtype=np.float64)
    # Where noise is to be removed from the images, they are sent in with it.
    return describe_layers(model, input_shape), squares + config.training.noise**2


def narrowest(model: ModelConfig) -> int:
    """Return the least width of the hidden layers from the second on, of which a slope's scatter depends."""
    widths = model.widths()
    return min(widths[1:] or widths)


def predict_record(record: Record) -> Prediction | None:
    """Predict what a record measured at its first probe; None where it probed nothing, or the theory has no word."""
    config = _configuration(record)
    if config is None or "gradient_rms" not in record.series or why_not_predicted(config) is not None:
        return None
    return predict_arm(config, record.dataset["input_shape"], record.series.get("input_mean_square"))


def _configuration(record: Record) -> ArmConfig | None:
    """Return a record's configuration; None if it is of a version that knew other settings, or of no images."""
    if "input_shape" not in record.dataset:
        return None
    try:
        return ArmConfig.model_validate(record.configuration)
    except ValidationError:
        return None


def why_not_compared(record: Record) -> str:
    """Say why `compare_slopes` has no answer for a record."""
    if "gradient_rms" not in record.series:
        return "no gradient was probed"
    config = _configuration(record)
    if config is None:
        return "recorded with other settings than this version knows"
    return why_not_predicted(config) or "a single hidden layer, or a gradient of zero: there is no slope"


@dataclass(frozen=True)
class Comparison:
    """An arm's gradient slope at initialisation, in theory and measured; decades per layer."""

    predicted: float
    low: float
    high: float
    """The band of 19 of 20 networks of the arm's width."""
    measured: tuple[float, ...]
    """One per seed."""
    width: int
    """The least of the hidden layers from the second on."""
    is_plain: bool
    """Whether it is fully connected, without normalisation and shortcuts."""

    @property
    def is_wide_and_plain(self) -> bool:
        """Whether the theory is expected to hold to TOLERANCE."""
        return self.is_plain and self.width >= WIDE

    @property
    def median(self) -> float:
        """The median over the seeds."""
        return float(np.median(self.measured))

    @property
    def error(self) -> float:
        """Measured less predicted."""
        return self.median - self.predicted

    @property
    def reason(self) -> str:
        """Why the two differ by more than 0.01; empty where they do not."""
        if abs(self.error) <= TOLERANCE:
            return ""
        if not self.low <= self.median <= self.high:
            return "outside the band of its width: not explained"
        return f"inside the band of networks of width {self.width}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the band may be without an end, see `plain_number`."""
        return {
            "predicted": self.predicted,
            "low": plain_number(self.low),
            "high": plain_number(self.high),
            "measured": list(self.measured),
            "median": self.median,
            "error": self.error,
            "width": self.width,
            "is_plain": self.is_plain,
            "reason": self.reason,
        }


@dataclass
class Alike:
    """A network with the names of the arms that begin as it, and differ in how they are trained."""

    comparison: Comparison
    """Of all seeds of these arms."""
    names: list[str]


@dataclass(frozen=True)
class Networks:
    """What some records say of the theory: every unlike network once, and the arms that are left out."""

    compared: list[Alike]
    """The largest error first."""
    left_out: dict[str, list[str]]
    """Reason to the names of each record."""

    @property
    def summary(self) -> str:
        """How many networks lie within the tolerance, how many of the plain and wide ones, and what is left out."""
        compared = [alike.comparison for alike in self.compared]
        wide = [found for found in compared if found.is_wide_and_plain]
        near, wide_near = (sum(not found.reason for found in some) for some in (compared, wide))
        text = (
            f"{near} of {write_count(len(compared), 'network')} within {TOLERANCE:g} decades per layer; "
            f"of the plain ones of width {WIDE} and more, {wide_near} of {len(wide)}."
        )
        reasons = "; ".join(f"{len(names)}: {reason}" for reason, names in self.left_out.items())
        return f"{text} Left out: {reasons}." if reasons else text


def compare_networks(records: Iterable[tuple[Sequence[str], Record]]) -> Networks:
    """Set the networks of records, each with its names, beside the theory; an arm's seeds may be in several records.

    Two arms are one network if a seed gives both the same slope to the last bit, and the theory too.
    """
    found: list[tuple[Alike, dict[int, float], set[str]]] = []
    left_out: dict[str, list[str]] = {}
    for names, record in records:
        if (comparison := compare_slopes(record)) is None:
            left_out.setdefault(why_not_compared(record), []).append(", also ".join(names))
            continue
        slopes = dict(zip(record.seeds, comparison.measured, strict=True))
        alike, settings, others = Alike(comparison, [*names]), {_settings(record)}, []
        for other in found:
            same = other[1].items() & slopes.items()
            more = other[2] & settings and not other[1].keys() & slopes.keys()
            if (same or more) and _alone(other[0].comparison) == _alone(comparison):
                alike.names = [*other[0].names, *alike.names]
                slopes, settings = other[1] | slopes, other[2] | settings
            else:
                others.append(other)
        measured = tuple(slopes[seed] for seed in sorted(slopes))
        alike = Alike(replace(comparison, measured=measured), list(dict.fromkeys(alike.names)))
        found = [*others, (alike, slopes, settings)]
    networks = [alike for alike, _, _ in found]
    return Networks(sorted(networks, key=lambda alike: (-abs(alike.comparison.error), alike.names)), left_out)


def _settings(record: Record) -> str:
    return json.dumps([record.configuration, dict(record.dataset)], sort_keys=True, default=str)


def _alone(comparison: Comparison) -> Comparison:
    """Return the prediction without what was measured."""
    return replace(comparison, measured=())


def _slopes(prediction: Prediction, record: Record) -> tuple[float, tuple[float, float], Array]:
    """Return the predicted slope, its band, the measured ones, (R,); of two hidden layers: from one to the other."""
    if len(prediction.q) != 2:
        return prediction.gradient_slope, prediction.gradient_slope_band, gradient_slope(record)
    low, high = prediction.gradient_band
    first, last = log10(record.probe("gradient_rms")).T
    with np.errstate(invalid="ignore"):
        return prediction.total_change, (float(low[0]), float(high[0])), np.asarray(first - last)


def compare_slopes(record: Record) -> Comparison | None:
    """Set an arm's predicted gradient slope beside the measured; None where one of the two has no value."""
    prediction, config = predict_record(record), _configuration(record)
    if prediction is None or config is None:
        return None
    predicted, (low, high), slopes = _slopes(prediction, record)
    if not math.isfinite(predicted) or not np.isfinite(slopes).all():
        return None
    model = built_in(config)
    return Comparison(
        predicted=predicted,
        low=low,
        high=high,
        measured=tuple(float(slope) for slope in slopes),
        width=narrowest(model),
        is_plain=model.kind == "mlp" and model.norm == "none" and not model.residual,
    )
