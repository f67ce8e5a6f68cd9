"""The wheel carries experiments and verdicts: beside the package in the repository, inside it once installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Experiments(BuildHookInterface[Any]):
    """Put `experiments/` and `docs/verdicts/` into the wheel. An editable install reads them where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["experiments"] = "vgtemplate/experiments"
            # The laboratory's; where that was deleted there may be none.
            if Path(self.root, "docs/verdicts").is_dir():
                build_data["force_include"]["docs/verdicts"] = "vgtemplate/verdicts"
