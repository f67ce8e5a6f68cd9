"""Which series the record of an arm has at least, by its settings: one that lacks some was not left by a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vgtemplate.records import Record

_OF_TRAINING = ("train_loss", "diverged_at", "diverged_layer")
_OF_PROBES = (
    "probe_steps",
    "gradient_rms",
    "weight_grad_norm_before_clip",
    "weight_grad_norm_after_clip",
    "signal_rms",
    "signal_mean",
    "derivative_rms",
    "saturated_fraction",
    "weight_rms",
    "update_ratio",
    "travel",
)
_WITH_BIASES = ("mlp", "cnn")
_ASKED_FOR = {
    "shift": ("input_shift",),
    "gradient_change": ("gradient_change",),
    "growth": ("gradient_norm", "weight_norm"),
    "zero_gradients": ("zero_gradient_fraction",),
}
"""What further probes measure, by their settings."""


def missing_series(record: Record) -> list[str]:
    """Return the series that a record lacks; an exact check has its quantities, and no other."""
    needed = series_of_arm(record.configuration) if record.seeds else iter(["quantities"])
    return [name for name in needed if name not in record.series]


def series_of_arm(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the series that every training of these settings writes.

    Of a network of one's own it depends on its layers what can be measured.
    """
    yield from _OF_TRAINING
    found = (configuration.get(name) for name in ("model", "training", "probes"))
    model, training, probes = (section if isinstance(section, Mapping) else {} for section in found)
    if not model or "factory" in model:
        return
    if training.get("evaluate"):
        yield "test_loss"
    if training.get("evaluate_train"):
        yield "final_train_accuracy"
    if training.get("stop_accuracy") is not None:
        yield "finished_at"
    if probes.get("every", 0) != 0:
        yield from _OF_PROBES
        if model.get("kind") in _WITH_BIASES and model.get("bias") != "none":
            yield "bias_grad_norm"
        for setting, names in _ASKED_FOR.items():
            yield from names if probes.get(setting) else ()
