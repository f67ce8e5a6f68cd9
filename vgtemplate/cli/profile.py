"""How a prediction looks in a terminal: the profile as a table with bars, the verdict and the advice as sentences."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.config.network import ModelConfig
from vgtemplate.text import write_number
from vgtemplate.theory.profiles import Prediction

_STABLE = 1.0
"""Decades over the whole depth up to which a gradient neither vanishes nor explodes."""
_SAME = 0.3
"""Decades up to which it counts as the same: a factor of two."""
_TOLD_APART = 6.0
"""Depth scales of the correlation over which signals reach (Schoenholz et al. 2017)."""
_BAR = 32
"""Characters of the plot in the table."""
_ALL_ROWS, _ROWS = 24, 14
"""Layers up to which each has a row, and about how many rows there are beyond."""


def verdict(prediction: Prediction, width: int) -> str:
    """Say in one sentence what becomes of the gradient."""
    total, depth = prediction.total_change, len(prediction.q)
    if math.isnan(total):
        return "The signal leaves the range of numbers: nothing can be said of the gradient."
    if depth < 2:
        return "One hidden layer has no profile."
    if math.isinf(total):
        return "The gradient is zero below the last hidden layer."
    over = f"over {depth} layers"
    if abs(total) < _STABLE:
        way = "keeps its size" if abs(total) < _SAME else "shrinks a little" if total < 0 else "grows a little"
        words = f"The gradient {way}: times {10**total:.2g} {over}"
    else:
        way = "vanishes" if total < 0 else "explodes"
        words = f"The gradient {way}: times 10^{total:+.1f} {over}"
    if math.isnan(prediction.gradient_slope):
        return words + "."
    low, high = prediction.gradient_slope_band
    return (
        f"{words}, 10^{prediction.gradient_slope:+.4f} per layer "
        f"(19 of 20 networks of width {width}: 10^{low:+.4f} to 10^{high:+.4f})."
    )


def _advice_with_norm(model: ModelConfig) -> list[str]:
    """Say what the weights' scale does beside a normalisation; nothing where random biases have a say in it."""
    name = f"{model.norm.capitalize()} normalisation"
    before = model.norm_position == "before"
    if model.bias not in ("zeros", "none") and not (before and model.norm == "batch"):
        return []
    if before:
        return [f"{name} takes the weights' scale out: no scale of them is critical."]
    return [f"{name} after the activation: the gradient grows at every scale of the weights, none is critical."]


def advice(model: ModelConfig, facts: dict[str, Any]) -> list[str]:
    """Say which scale of the weights would be critical, and over how many layers things change."""
    if model.norm != "none":
        return _advice_with_norm(model)
    if model.residual:
        return ["Every block adds to the gradient that goes past it: no scale of the weights is critical."]
    if facts["gain"] is None:
        return []
    critical, balancing, scales = facts["critical_gain"], facts["balancing_gain"], facts["depth_scales"]
    words = f"Weights have the standard deviation g / sqrt(fan_in) with g = {facts['gain']:.4g}. "
    words += (
        f"At g = {critical:.4g} the gradient keeps its size however deep the network is"
        if math.isfinite(critical)
        else "No g keeps the gradient's size however deep the network is"
    )
    if math.isfinite(balancing):
        words += f"; over this depth g = {balancing:.4g} does"
    lines = [words + "."]
    if scales and 0 < scales["of_c"] < math.inf and scales["q_star"]:
        lines.append(
            f"Further down the variance of what the activations see settles at {write_number(scales['q_star'])}, and "
            f"the correlation of two images at {write_number(scales['c_star'])}; over about "
            f"{_layers(_TOLD_APART * scales['of_c'])} they can be told apart."
        )
    return lines


def _layers(value: float) -> str:
    number = write_number(value) if value < 10 else f"{value:,.0f}"
    return f"{number} layer{'' if number == '1' else 's'}"


def _rows(depth: int) -> list[int]:
    """Return the layers that have a row, from 0."""
    if depth <= _ALL_ROWS:
        return list(range(depth))
    return sorted({round(step * (depth - 1) / (_ROWS - 1)) for step in range(_ROWS)})


def profile_table(prediction: Prediction, width: int) -> Group:
    """Return the predicted profiles, the gradient also as a bar over its decades, no wider than `width`."""
    gradient, (low, high) = prediction.log10_gradient_rms, prediction.gradient_band
    finite = [value for value in gradient if math.isfinite(value)]
    bottom, top = (min(finite), max(finite)) if finite else (0.0, 0.0)
    span = max(top - bottom, _STABLE)
    columns = (
        Column("layer", justify="right"),
        Column("variance", rank=3, justify="right"),
        Column("signal RMS", rank=2, justify="right"),
        Column("gradient RMS", justify="right"),
        Column("19 of 20 networks", rank=1, justify="right"),
        Column(f"gradient: a whole bar is a factor of {_factor(span)}"),
    )
    rows = []
    for row in _rows(len(gradient)):
        value = gradient[row]
        bar = round(_BAR * (1 - (top - value) / span)) if math.isfinite(value) else 0
        rows.append(
            [
                str(row + 1),
                write_number(prediction.q[row]),
                write_number(10 ** prediction.log10_signal_rms[row]),
                _power(value),
                f"{_power(low[row])} to {_power(high[row])}",
                "█" * bar or "▏",
            ]
        )
    return make_table("", columns, rows, width)


def _factor(span: float) -> str:
    return "10" if span == 1 else f"10^{span:.2g}"


def _power(decades: float) -> str:
    """Write a number by its decades: as a number near 1, else as a power of ten."""
    if not math.isfinite(decades):
        return "0" if decades < 0 else "-"
    return write_number(10**decades) if abs(decades) < 3 else f"10^{decades:.2f}"
