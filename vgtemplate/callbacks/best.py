"""The best weights of each replica, kept while it is validated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vgtemplate.callbacks.contracts import Validates, require
from vgtemplate.lightning import pl


class BestKeeper(pl.Callback):
    """Keeps each replica's weights of its best validation as the module's `best_weights`.

    Of equals the first counts.

    Args:
        by_score: the best is what has the largest score; else the smallest loss.

    Raises:
        ValueError: at the start of the training, if the module has no `model` or no `validations`.
    """

    def __init__(self, by_score: bool = True) -> None:
        self._by_score = by_score
        self._best: dict[str, Tensor] | None = None
        self._score = torch.empty(0)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        require(pl_module, Validates, self).best_weights = self._best

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        module = require(pl_module, Validates, self)
        _, losses, scores = module.validations[-1]
        score = (scores if self._by_score else -losses).nan_to_num(nan=-torch.inf)
        weights = {name: tensor.detach().cpu().clone() for name, tensor in module.model.state_dict().items()}
        if self._best is None:
            self._best, self._score = weights, score
            module.best_weights = weights
            return
        better = score > self._score
        self._score = torch.where(better, score, self._score)
        for name, tensor in weights.items():
            self._best[name][better] = tensor[better]

    def state_dict(self) -> dict[str, Any]:
        return {} if self._best is None else {"best": self._best, "score": self._score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self._score = state_dict["best"], state_dict["score"]
