"""How others log gradients: each parameter's norm, one by one or by Lightning, or its histogram."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import grad_norm


class ItemLogger(pl.Callback):
    """The norm of each parameter's gradient, fetched one by one: what one writes first."""

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.norms = {name: weight.grad.norm().item() for name, weight in pl_module.named_parameters()}


class GradNormLogger(pl.Callback):
    """Lightning's own `grad_norm`, as its documentation logs it."""

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        pl_module.log_dict(grad_norm(pl_module, norm_type=2))


class HistogramLogger(pl.Callback):
    """A histogram of 64 bins of each parameter's gradient, as `watch` of the experiment trackers makes it."""

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.histograms = {}
        for name, weight in pl_module.named_parameters():
            gradient = weight.grad.flatten()
            low, high = gradient.min().item(), gradient.max().item()
            self.histograms[name] = (gradient.histc(64, low, high).tolist(), low, high)
