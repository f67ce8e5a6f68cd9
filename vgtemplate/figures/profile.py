"""The gradient's profile of a training that is no record: any network's, layer by layer by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from vgtemplate.figures.style import FONT, SERIES_COLOURS, start_figure

_ALL_NAMED = 64
_LONGEST = 28
_MIN_DECADES = 2.0
"""Least range of the scale: a gradient that stays the same is to look the same."""


def _end_of(name: str) -> str:
    """Return a layer's name, or its end, which tells it from others."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def draw_profile(layers: Sequence[str], gradient_rms: npt.NDArray[np.float64], steps: Sequence[int]) -> Figure:
    """Draw dL/dz of each layer at the first, the middle and the last probed step, median over the replicas.

    Args:
        layers: names, in the order of their first call.
        gradient_rms: (R, S, L); a layer that has no value is not drawn.
        steps: the probed steps, S.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.median(gradient_rms, axis=0))
    logs[~np.isfinite(logs)] = np.nan
    seen = [int(place) for place in np.flatnonzero(np.isfinite(logs).any(axis=0))]
    places = np.arange(len(seen))
    figure, (axes,) = start_figure((max(6.4, 0.16 * len(seen)), 4.0), dpi=100)
    for colour, index in zip(SERIES_COLOURS, dict.fromkeys((0, len(steps) // 2, len(steps) - 1)), strict=False):
        axes.plot(
            places, logs[index, seen], "o-", color=colour, markersize=3, linewidth=1.4, label=f"step {steps[index]}"
        )
    names = [_end_of(layers[place]) for place in seen] if len(seen) <= _ALL_NAMED else []
    axes.set_xticks(places if names else places[:: max(1, len(seen) // 10)])
    if names:
        axes.set_xticklabels(names, rotation=90, fontsize=FONT - 2)
    axes.set(xlabel="layer, in the order of its call", ylabel="log10 of the RMS of dL/dz")
    axes.set_title("gradient by layer", loc="left")
    if seen:
        middle = (np.nanmax(logs) + np.nanmin(logs)) / 2
        half = max(_MIN_DECADES, np.nanmax(logs) - np.nanmin(logs)) / 2 + 0.1
        axes.set_ylim(middle - half, middle + half)
        # Above the axes, where it hides no layer.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=FONT - 1)
    else:
        axes.text(0.5, 0.5, "nothing to draw", transform=axes.transAxes, ha="center", va="center")
    return figure
