"""Which extra brings a library that is not there: a plain installation has them all, a lean one may not."""

from __future__ import annotations

import importlib.util

from vgtemplate.config.errors import UserError

EXTRAS = {
    "mlflow": ("mlflow", "mlflow"),
    "torchvision": ("torchvision", "vision"),
    "sklearn": ("scikit-learn", "vision"),
    "matplotlib": ("matplotlib", "report"),
    "jinja2": ("Jinja2", "report"),
    "distributed": ("distributed", "cluster"),
    "dask_jobqueue": ("dask-jobqueue", "cluster"),
}
"""By the name that is imported: the library, and the extra that has it (pyproject.toml)."""


def describe_missing(module: str) -> str:
    """Say in one line that a library of EXTRAS is not installed, and what installs it."""
    library, extra = EXTRAS[module]
    return f"{library} is not installed: pip install 'vgtemplate[{extra}]'"


def explain(error: ImportError) -> str | None:
    """Return what to say of an import that failed; None if no extra brings it."""
    module = (error.name or "").partition(".")[0]
    return describe_missing(module) if module in EXTRAS else None


def require(module: str) -> None:
    """Raise UserError unless a library of EXTRAS is installed; it is not imported."""
    if importlib.util.find_spec(module) is None:
        raise UserError(describe_missing(module))
