"""How many of few data of one's own are held out, and how long they are trained on; built-in ones stay as asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data.notes import note

LEAST_STEPS = 500
"""Steps of a training whose epochs were meant for more data: what `training.steps` is by itself."""


def is_own(config: DataConfig) -> bool:
    """Say whether the data are one's own, of which nobody knew the number when a shared base was written."""
    return config.path is not None or config.own is not None


def num_held_out(config: DataConfig, available: int) -> int:
    """Return how many of the training split are held out for validation.

    As many as asked for; of data of one's own, a fifth where that would leave fewer than half to train on, which is
    said.

    Raises:
        UserError: it would leave nothing to train on.
    """
    asked = config.num_validation
    if is_own(config) and available > 1 and asked > available // 2:
        fifth = max(1, available // 5)
        note(
            f"data.num_validation: {asked} of {available} would be more than half; {fifth}, a fifth, are held out",
        )
        return fifth
    if asked >= available:
        raise UserError(
            f"data.num_validation: {asked} leaves nothing to train on of the {available} of the training split; "
            f"set it to at most {available - 1}, e.g. data.num_validation={available // 5}"
        )
    return asked


def long_enough(config: ArmConfig, steps_per_epoch: int, info: Mapping[str, Any]) -> ArmConfig:
    """Return the arm with LEAST_STEPS steps, where its epochs were meant for more data of one's own than there are.

    What is changed is said; `training.steps`, or the true `data.num_train`, decides otherwise.
    """
    epochs, num_train = config.training.epochs, info["num_train"]
    if epochs is None or not is_own(config.data) or num_train >= info["num_train_asked"]:
        return config
    steps = epochs * steps_per_epoch
    if steps >= LEAST_STEPS:
        return config
    note(
        f"training.epochs: {epochs} of {num_train} are {steps} steps; trained for {LEAST_STEPS} instead "
        f"(training.steps decides otherwise, or data.num_train={num_train})",
    )
    training = config.training.model_copy(update={"steps": LEAST_STEPS, "epochs": None})
    return config.model_copy(update={"training": training})
