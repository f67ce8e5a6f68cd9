"""The wheel carries the experiments: they stand beside the package in the repository, and inside it once installed."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Experiments(BuildHookInterface[Any]):
    """Put `experiments/` into the wheel. An editable install reads them where they are, so it gets no copy."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["experiments"] = "vgtemplate/experiments"
