"""How a LightningModule of one's own does: what it logs when it is validated and tested."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vgtemplate.data.module import PopulationData
from vgtemplate.lightning import pl

Logged = dict[str, float]
Validations = list[tuple[int, Logged]]
"""The step of each validation, and what was logged."""
_NAME = re.compile(r"(?:test|val|validation|valid)[_/](loss|accuracy|acc)")
"""Names under which people log what the record has a series for."""


def _merged(results: Sequence[Mapping[str, float]]) -> Logged:
    return {name: float(value) for result in results for name, value in result.items()}


def evaluate(
    trainer: pl.Trainer, module: pl.LightningModule, data: PopulationData, evaluates: bool, validations: Validations
) -> Logged:
    """Validate a trained module on what is held out, test it, and return what it logs on the test data.

    Where it has no `test_step` and nothing is held out, its `validation_step` tells of the test data.

    Args:
        evaluates: whether it is tested at all.
        validations: those of the training, to which the last is added.
    """
    validates = pl.utilities.model_helpers.is_overridden("validation_step", module)
    holds_out = bool(data.info["num_validation"])
    if validates and holds_out and trainer.global_step not in (step for step, _ in validations):
        validations.append((trainer.global_step, _merged(trainer.validate(module, datamodule=data, verbose=False))))
    if not evaluates or not data.info["num_test"]:
        return {}
    if pl.utilities.model_helpers.is_overridden("test_step", module):
        return _merged(trainer.test(module, datamodule=data, verbose=False))
    if validates and not holds_out:
        return _merged(trainer.validate(module, dataloaders=data.test_dataloader(), verbose=False))
    return {}


def as_series(validations: Validations, tested: Logged) -> dict[str, Any]:
    """Return loss and accuracy under the record's names, one replica, where the module logs them."""
    series: dict[str, Any] = {}
    for name, value in tested.items():
        if (kind := _kind(name)) is not None:
            series[f"test_{kind}"] = np.array([value])
    if not validations:
        return series
    series["validation_steps"] = np.array([step for step, _ in validations])
    for name in validations[-1][1]:
        if (kind := _kind(name)) is not None:
            series[f"validation_{kind}"] = np.array([[found.get(name, np.nan) for _, found in validations]])
    return series


def _kind(name: str) -> str | None:
    found = _NAME.fullmatch(name)
    return found and {"acc": "accuracy"}.get(found[1], found[1])
