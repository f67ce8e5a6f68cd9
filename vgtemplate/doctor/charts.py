"""Curves as inline SVG: nothing is loaded, and light and dark are left to the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from vgtemplate.doctor.evidence import Array

Shown = npt.NDArray[np.bool_]

_WIDTH, _HEIGHT = 380, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 40
_MOST_POINTS = 60
_DECADES_AT_ONCE = 6


@dataclass(frozen=True)
class Curve:
    """One line: its name, and where it goes; a value that is not finite is a gap."""

    name: str
    x: Array
    y: Array


@dataclass(frozen=True)
class Axis:
    """From where to where an axis goes, and where its marks stand."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where a value stands, 0 to 1."""
        at = math.log10(value) if self.is_log else value
        return (at - self.low) / (self.high - self.low)

    def label(self, tick: float) -> str:
        """Return what is written at a mark."""
        return f"1e{tick:.0f}" if self.is_log else f"{tick:.6g}"


def linear(values: Array, whole: bool = False) -> Axis:
    """Return an axis with round marks.

    Args:
        whole: marks are whole numbers.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step)
    ticks = tuple(index * step for index in range(first, math.floor(high / step) + 1))
    return Axis(low, high, ticks)


def logarithmic(values: Array) -> Axis:
    """Return an axis of decades."""
    low = math.floor(math.log10(values.min())) if values.size else 0
    high = math.ceil(math.log10(values.max())) if values.size else 1
    high = max(high, low + 1)
    step = math.ceil((high - low) / _DECADES_AT_ONCE)
    return Axis(low, high, tuple(float(each) for each in range(low, high + 1, step)), is_log=True)


def draw(title: str, curves: Sequence[Curve], x_label: str, is_log: bool, names: Sequence[str] = ()) -> str:
    """Return a figure with its title, as HTML.

    Args:
        names: of the places 1, 2, ... along x; shown where a point is pointed at.
    """
    xs = np.concatenate([curve.x for curve in curves]) if curves else np.empty(0)
    ys = np.concatenate([curve.y[_is_shown(curve.y, is_log)] for curve in curves]) if curves else np.empty(0)
    x_axis, y_axis = linear(xs, whole=True), logarithmic(ys) if is_log else linear(ys)
    legend = "".join(
        f'<span class="c{index}"><i></i>{escape(curve.name)}</span>' for index, curve in enumerate(curves) if curve.name
    )
    lines = "".join(_line(index, curve, x_axis, y_axis, names) for index, curve in enumerate(curves))
    empty = "" if ys.size else f'<text x="{_WIDTH / 2}" y="{_HEIGHT / 2}" text-anchor="middle">no finite value</text>'
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{_grid(x_axis, y_axis, x_label)}{lines}{empty}</svg>"
        f'<p class="legend">{legend}</p></figure>'
    )


def _is_shown(y: Array, is_log: bool) -> Shown:
    return np.isfinite(y) & (y > 0) if is_log else np.isfinite(y)


def _at(axis: Axis, value: float, is_x: bool) -> float:
    if is_x:
        return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(x_axis: Axis, y_axis: Axis, x_label: str) -> str:
    found = []
    for tick in y_axis.ticks:
        y = _at(y_axis, 10.0**tick if y_axis.is_log else tick, is_x=False)
        found.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        found.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{y_axis.label(tick)}</text>')
    for tick in x_axis.ticks:
        x = _at(x_axis, tick, is_x=True)
        found.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{x_axis.label(tick)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    found.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    return f'<g class="grid">{"".join(found)}</g>'


def _line(index: int, curve: Curve, x_axis: Axis, y_axis: Axis, names: Sequence[str]) -> str:
    path, points, is_drawn = [], [], False
    for x, y, is_shown in zip(curve.x, curve.y, _is_shown(curve.y, y_axis.is_log), strict=True):
        if not is_shown:
            is_drawn = False
            continue
        left, top = _at(x_axis, float(x), is_x=True), _at(y_axis, float(y), is_x=False)
        path.append(f"{'L' if is_drawn else 'M'}{left:.1f} {top:.1f}")
        is_drawn = True
        place = names[int(x) - 1] if names else f"step {x:.0f}"
        points.append(
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="2.5"><title>{escape(place)}: {y:.3g}</title></circle>'
        )
    dots = "".join(points) if len(points) <= _MOST_POINTS else ""
    return f'<g class="c{index}"><path class="line" d="{"".join(path)}"/>{dots}</g>'
