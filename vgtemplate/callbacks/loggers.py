"""What the trainer's loggers are given: each series of each layer, and at the end a picture of the profile.

A logger that fails is left alone: its error is said once and never reaches the training.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vgtemplate.config.extras import explain
from vgtemplate.lightning import pl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
_PICTURE = "gradient_profile"


def log_values(trainer: pl.Trainer, found: Mapping[str, Mapping[str, Array]], step: int) -> None:
    """Hand the median over the replicas of each layer's values, (R,), to the loggers.

    The names are SERIES/LAYER, so that the user interfaces of MLflow, TensorBoard and W&B make one group per series.
    """
    if not trainer.loggers:
        return
    medians = {
        # MLflow takes no other characters in a name; " = " stands between the names of a tied weight.
        f"{series}/{layer.replace(' = ', ' and ')}": float(np.median(values))
        for series, by_layer in found.items()
        for layer, values in by_layer.items()
        if np.isfinite(values).any()
    }
    for logger in trainer.loggers:
        _try(logger, logger.log_metrics, medians, step)


def log_profile(trainer: pl.Trainer, layers: Sequence[str], series: Mapping[str, Array], steps: Sequence[int]) -> None:
    """Hand a picture of the gradient's profile, first and last, to those loggers that can keep one."""
    if not (trainer.loggers and trainer.is_global_zero and "gradient_rms" in series):
        return
    keepers = [(logger, keeper) for logger in trainer.loggers if (keeper := _keeper(logger)) is not None]
    if not keepers:
        return
    try:
        # Matplotlib takes a second to load, which most trainings need not wait for.
        from vgtemplate.figures.profile import draw_profile
    except ModuleNotFoundError as error:
        warnings.warn(f"no picture of what the probes have measured: {explain(error) or error}", stacklevel=2)
        return
    figure = draw_profile(layers, series["gradient_rms"], steps)
    for logger, keep in keepers:
        _try(logger, keep, logger, figure, trainer.global_step)


def draw(layers: Sequence[str], series: Mapping[str, Array], steps: Sequence[int]) -> Figure:
    """Return the picture of the gradient's profile at the first, the middle and the last probed step.

    Raises:
        ValueError: no gradient was measured.
    """
    if "gradient_rms" not in series or not steps:
        raise ValueError("no gradient was measured: plot a GradientProbe, after its training")
    from vgtemplate.figures.profile import draw_profile

    return draw_profile(layers, series["gradient_rms"], steps)


def _try(logger: Any, act: Callable[..., object], *args: Any) -> None:
    try:
        act(*args)
    except Exception as error:
        warnings.warn(f"{type(logger).__name__} did not take what the probes have measured: {error}", stacklevel=3)


def _keeper(logger: Any) -> Callable[[Any, Any, int], object] | None:
    """Return how a logger keeps a picture; by its class's name, since each of the two Lightnings has its own."""
    names = {parent.__name__ for parent in type(logger).__mro__}
    return next((keep for name, keep in _KEEPERS.items() if name in names), None)


def _tensorboard(logger: Any, figure: Any, step: int) -> None:
    logger.experiment.add_figure(_PICTURE, figure, step, close=False)


def _wandb(logger: Any, figure: Any, step: int) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    # Without the step: W&B counts its own, and drops what comes at an earlier one.
    logger.log_image(_PICTURE, [Image.open(buffer)])


def _mlflow(logger: Any, figure: Any, step: int) -> None:
    logger.experiment.log_figure(logger.run_id, figure, f"{_PICTURE}.png")


def _csv(logger: Any, figure: Any, step: int) -> None:
    Path(logger.log_dir).mkdir(parents=True, exist_ok=True)
    figure.savefig(Path(logger.log_dir) / f"{_PICTURE}.png", bbox_inches="tight")


_KEEPERS: dict[str, Callable[[Any, Any, int], object]] = {
    "TensorBoardLogger": _tensorboard,
    "WandbLogger": _wandb,
    "MLFlowLogger": _mlflow,
    "CSVLogger": _csv,
}
