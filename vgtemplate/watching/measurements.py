"""What was measured of which layer at which step: arrays on the host, a hole where there is no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]
_MOST_REASONS = 50
_SHOWN = 6
"""Layers that a note names."""


class Measurements:
    """The series of one training; `steps` are the probed ones, `layers` stand in the order of their first call.

    `over_time` has, by layer and step, the RMS of dL/dh at each time step or call, (T,), of those that have several.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.layers: list[str] = []
        self.over_time: dict[str, dict[int, Array]] = {}
        self._rows: dict[str, dict[int, tuple[tuple[str, ...], Array]]] = {}
        self._reasons: dict[str, dict[str, None]] = {}

    def keep(self, step: int, name: str, layers: Sequence[str], values: Array) -> None:
        """Keep a series at a step: one column per layer, (R, L)."""
        if step not in self.steps[-1:]:
            self.steps.append(step)
        known = set(self.layers)
        self.layers += [layer for layer in layers if layer not in known]
        self._rows.setdefault(name, {})[step] = (tuple(layers), values)

    def series(self) -> dict[str, Array]:
        """Return every series, (R, S, L), with S probed steps; NaN where a layer has no value at a step."""
        places = {layer: place for place, layer in enumerate(self.layers)}
        found = {}
        for name, rows in self._rows.items():
            num_replicas = len(next(iter(rows.values()))[1])
            found[name] = np.full((num_replicas, len(self.steps), len(self.layers)), np.nan)
            for index, step in enumerate(self.steps):
                if step in rows:
                    layers, values = rows[step]
                    found[name][:, index, [places[layer] for layer in layers]] = values
        return found

    def note(self, reason: str, layer: str = "") -> None:
        """Say once what is not seen, and of which layer."""
        # What fails in another way each time would fill the memory of a long training.
        if reason in self._reasons or len(self._reasons) < _MOST_REASONS:
            self._reasons.setdefault(reason, {})[layer] = None

    @property
    def notes(self) -> list[str]:
        """What is not seen and why, one line per reason."""
        return [reason + _names([layer for layer in layers if layer]) for reason, layers in self._reasons.items()]

    def state_dict(self) -> dict[str, Any]:
        """Return everything as what a checkpoint may hold."""
        rows = {
            name: [(step, list(layers), torch.from_numpy(values)) for step, (layers, values) in rows.items()]
            for name, rows in self._rows.items()
        }
        reasons = {reason: list(layers) for reason, layers in self._reasons.items()}
        over_time = {
            layer: [(step, torch.from_numpy(values)) for step, values in by_step.items()]
            for layer, by_step in self.over_time.items()
        }
        plain = {"steps": list(self.steps), "layers": list(self.layers)}
        return {**plain, "rows": rows, "reasons": reasons, "over_time": over_time}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` has returned."""
        self.steps, self.layers = list(state["steps"]), list(state["layers"])
        self._rows = {
            name: {step: (tuple(layers), values.numpy()) for step, layers, values in rows}
            for name, rows in state["rows"].items()
        }
        self._reasons = {reason: dict.fromkeys(layers) for reason, layers in state["reasons"].items()}
        self.over_time = {
            layer: {step: values.numpy() for step, values in by_step} for layer, by_step in state["over_time"].items()
        }


def _names(layers: Sequence[str]) -> str:
    if not layers:
        return ""
    rest = f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    return f": {', '.join(layers[:_SHOWN])}{rest}"
