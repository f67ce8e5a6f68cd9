"""The one place where the template asks what stands on top of it: the laboratory, where that is installed.

It adds commands to `vgt`, and makes a claim's file one that `vgt train` and `vgt predict` can read.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgtemplate.config.experiment import ExperimentConfig

_LABORATORY = "vgtemplate.lab"


def _find(module: str, name: str) -> Any:
    """Return what the laboratory has under a name; None without the laboratory."""
    if importlib.util.find_spec(_LABORATORY) is None:
        return None
    return getattr(importlib.import_module(f"{_LABORATORY}.{module}"), name)


def more_commands() -> Mapping[str, tuple[str, str, str]]:
    """Return the commands beyond the template's, by name: the module, what it does, and its group."""
    return _find("cli", "COMMANDS") or {}


def more_examples() -> Mapping[str, tuple[str, ...]]:
    """Return how the commands beyond the template's are called."""
    return _find("cli", "EXAMPLES") or {}


def more_schemas() -> Mapping[str, Callable[[], dict[str, Any]]]:
    """Return what makes the JSON schemas of further kinds of files, by kind."""
    claim: Callable[[], dict[str, Any]] | None = _find("claim_schema", "claim_schema")
    return {} if claim is None else {"claim": claim}


def load_file(path: Path) -> ExperimentConfig:
    """Read an experiment, or what the laboratory makes of its file.

    Raises:
        UserError: it cannot be used.
    """
    from vgtemplate.config.experiment import ExperimentConfig
    from vgtemplate.config.load import load_experiment

    load: Callable[[Path], ExperimentConfig] | None = _find("claims", "load_any")
    return load_experiment(path, ExperimentConfig) if load is None else load(path)


def searched_settings(
    path: Path, experiment: ExperimentConfig, resolve: Callable[[], str]
) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of single arms that were searched beforehand on the data set that `resolve` returns.

    Raises:
        UserError: they were not searched on it.
    """
    look_up: Callable[..., Mapping[str, Mapping[str, Any]]] | None = _find("picks", "patches_of")
    return {} if look_up is None else look_up(path, experiment, resolve)
