"""What an experiment is: named arms, and the base whose settings they share."""

from __future__ import annotations

from typing import Any

from vgtemplate.config.strict import Slug, StrictModel


class ExperimentConfig(StrictModel):
    """A set of arms to train and compare."""

    base: Slug | None = None
    """The YAML file, without .yaml, whose settings every arm starts from; beside this one, or in a folder `bases`."""
    arms: dict[Slug, dict[str, Any]] = {}
    """Each arm: the settings in which it differs from the base; `variants` names presets."""
    notes: str = ""
    """What a reader should know: choices made, what was tried, surprises."""

    @property
    def needs_arms(self) -> bool:
        """Whether there is nothing to do without an arm."""
        return True
