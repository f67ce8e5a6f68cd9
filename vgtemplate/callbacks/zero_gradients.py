"""Entries of the gradient that are exactly zero, at each layer's input: before the first step and after the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.contracts import GivesLosses, require
from vgtemplate.callbacks.layers import find_layers
from vgtemplate.callbacks.recorder import to_host
from vgtemplate.callbacks.replay import alone, call
from vgtemplate.lightning import pl

_CHUNK = 100
"""Images per batch; bounds the memory of a deep population."""
_NOISE_STEP = 0

Batch = tuple[Tensor, Tensor]


class ZeroGradientProbe(pl.Callback):
    """Records the share of entries of dL/dx_l that are exactly 0, x_l the input of hidden layer l.

    Series: zero_gradient_fraction (R, 2, L). The input of layer l is the output of layer l - 1, shortcut included, so
    its gradient is what comes back through the layer and through its shortcut together. NaN for layer 1, whose input
    is the image, and where an entry is NaN. Works on populations that offer `replica_losses`. The network runs in the
    mode of the training, so batch normalisation takes the moments of each batch of 100 images.

    Args:
        batches: (images (R, B, ...), labels (R, B)), the same at both looks.
        num_images: how many of them are looked at.

    Raises:
        ValueError: at the start of the training, if the module offers no `replica_losses`.
    """

    def __init__(self, batches: Iterable[Batch], num_images: int) -> None:
        self._batches, self._num_images = batches, num_images
        self._looks: list[npt.NDArray[np.float64]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"looks": [torch.from_numpy(look) for look in self._looks]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._looks = [look.numpy() for look in state_dict["looks"]]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        require(pl_module, GivesLosses, self)
        if not self._looks:
            self._look(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(pl_module)

    def _chunks(self, dtype: torch.dtype) -> Iterator[Batch]:
        left = self._num_images
        for images, labels in self._batches:
            for start in range(0, min(left, labels.shape[1]), _CHUNK):
                end = min(start + _CHUNK, left)
                yield images[:, start:end].to(dtype), labels[:, start:end]
            left -= labels.shape[1]
            if left <= 0:
                return

    def _look(self, pl_module: pl.LightningModule) -> None:
        dtype = next(pl_module.parameters()).dtype
        counts = [(_zero_shares(pl_module, chunk), chunk[1].shape[1]) for chunk in self._chunks(dtype)]
        total = sum(number for _, number in counts)
        self._looks.append(to_host(torch.stack([shares * (number / total) for shares, number in counts]).sum(dim=0)))

    def series(self) -> dict[str, npt.NDArray[Any]]:
        """Return zero_gradient_fraction (R, 2, L)."""
        return {"zero_gradient_fraction": np.stack(self._looks, axis=1)}


@torch.enable_grad()
def _zero_shares(pl_module: pl.LightningModule, batch: Batch) -> Tensor:
    """Return the share of zeros of each layer's dL/dx over one batch, (R, L)."""
    inputs: list[Tensor] = []

    def watch(_: nn.Module, args: tuple[Any, ...]) -> None:
        inputs.append(args[0])

    with alone(pl_module, _NOISE_STEP):
        for layer in find_layers(pl_module)[1:]:
            layer.output.register_forward_pre_hook(watch)
        losses = call(pl_module, "replica_losses", batch, parameters={})
    gradients = torch.autograd.grad(losses.sum(), inputs)
    broken = [gradient.isnan().flatten(1).any(dim=1) for gradient in gradients]
    shares = [
        measure.mean(gradient == 0).masked_fill(nan, torch.nan) for gradient, nan in zip(gradients, broken, strict=True)
    ]
    return torch.stack([torch.full_like(losses, torch.nan, dtype=torch.float64), *shares], dim=1)
