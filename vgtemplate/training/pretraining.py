"""Unsupervised training of a network's hidden layers, one after the other from the input (Hinton et al. 2006).

The network itself sees the images as they are scaled; the first machine sees pixels in [0, 1], as Bernoulli units
need them, and its weights are then rescaled so that the network computes exactly what was learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.schema import ArmConfig, PretrainingConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.lightning import pl
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.machines import RBM, DenoisingAutoencoder
from vgtemplate.nn.mlp import MLP
from vgtemplate.nn.noise import set_step
from vgtemplate.training.module import Batch

_MOST_POINTS = 50
"""Points of a layer's recorded curve."""
_NOISE_LAYER = 2_000_000
"""Beyond every layer of the network, so that its noise is never theirs."""


class PretrainingModule(pl.LightningModule):
    """Trains one layer's machine on what the layers below it make of the images; labels are not looked at.

    Args:
        machine: what is trained.
        below: weight (R, V, H) and bias (R, H) of each sigmoid layer below it, from the input.
        pixels: scale and shift, see `pixel_map`.
        settings: learning rate of plain SGD, number of steps.
    """

    curves: Tensor

    def __init__(
        self,
        machine: RBM | DenoisingAutoencoder,
        below: Sequence[tuple[Tensor, Tensor]],
        pixels: tuple[Tensor, Tensor],
        settings: PretrainingConfig,
    ) -> None:
        super().__init__()
        self.machine = machine
        self.lr = settings.lr
        self._below = below
        self._scale, self._shift = pixels
        # One tensor for the whole run: thousands of small ones that stay, among large ones that go, split the heap up.
        # A buffer, so that checkpoints hold it.
        self.register_buffer("curves", machine.weight.detach().new_zeros(settings.steps, len(machine.weight)))

    def on_fit_start(self) -> None:
        dtype = self.machine.weight.dtype
        self._below = [(weight.to(self.device), bias.to(self.device)) for weight, bias in self._below]
        self._scale, self._shift = self._scale.to(self.device, dtype), self._shift.to(self.device, dtype)

    @torch.no_grad()
    def visible(self, images: Tensor) -> Tensor:
        """Return what the machine sees of the images: (R, B, C, H, W) to (R, B, V)."""
        v = images.flatten(2) * self._scale + self._shift
        for weight, bias in self._below:
            v = torch.baddbmm(bias[:, None], v, weight).sigmoid()
        return v

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Under ddp every process draws its own noise for its share of the batch.
        set_step(self, self.global_step * self.trainer.world_size + self.trainer.global_rank)
        losses, reconstruction = self.machine.compare(self.visible(batch[0]))
        self.curves[self.global_step] = reconstruction
        return losses.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr, foreach=True)

    def curve(self) -> Tensor:
        """Return the reconstruction's cross-entropy at evenly spread steps, (R, P), in nats per image."""
        indices = np.unique(np.linspace(0, len(self.curves) - 1, _MOST_POINTS).round().astype(int))
        return self.curves[indices].T


def _build(config: PretrainingConfig, linear: Linear, seeds: Sequence[int], index: int) -> RBM | DenoisingAutoencoder:
    if config.kind == "rbm":
        return RBM(linear, seeds, _NOISE_LAYER + index)
    return DenoisingAutoencoder(linear, seeds, _NOISE_LAYER + index, config.corruption)


def pixel_map(info: dict[str, Any], scaling: str, num_pixels: int) -> tuple[Tensor, Tensor]:
    """Return scale and shift, (C * num_pixels,) in float64, that turn flattened scaled images into pixels in [0, 1]."""
    means, deviations = torch.tensor(info["mean"]).double(), torch.tensor(info["std"]).double()
    if scaling == "unit":
        means, deviations = torch.zeros_like(means), torch.ones_like(deviations)
    # A channel that never changes is centred only.
    deviations = torch.where(deviations == 0, 1.0, deviations)
    return deviations.repeat_interleave(num_pixels), means.repeat_interleave(num_pixels)


@torch.no_grad()
def absorb_map(linear: Linear, scale: Tensor, shift: Tensor) -> None:
    """Rewrite a layer that reads u so that it computes the same from x, where u = scale * x + shift."""
    weight = linear.weight.double()
    assert linear.bias is not None
    linear.bias.add_((shift.to(weight.device)[None, None] @ weight).squeeze(1).to(linear.bias.dtype))
    linear.weight.copy_(weight * scale.to(weight.device)[None, :, None])


def pretrain(
    model: MLP,
    config: ArmConfig,
    data: PopulationData,
    seeds: Sequence[int],
    fit: Callable[[pl.LightningModule, Sequence[pl.Callback], str, int], object],
) -> dict[str, np.ndarray[Any, Any]]:
    """Pretrain every hidden layer of a sigmoid MLP in place, each on the output of those below it.

    Args:
        model: its hidden layers start from the weights they have.
        config: `pretraining` says how.
        data: set up; every layer sees its batches from the first.
        seeds: one per replica.
        fit: trains a module, with callbacks, under the name of its checkpoint, for so many steps.

    Returns:
        reconstruction_loss (R, L, P), nats per image.
    """
    settings = config.pretraining
    _, *size = data.input_shape
    pixels = pixel_map(data.info, config.data.scaling, int(np.prod(size)))
    below: list[tuple[Tensor, Tensor]] = []
    curves = []
    layers = [layer.get_submodule("linear") for layer in model.hidden_layers]
    for index, linear in enumerate(layers):
        assert isinstance(linear, Linear)
        assert linear.bias is not None
        module = PretrainingModule(_build(settings, linear, seeds, index), below, pixels, settings)
        fit(module, [], f"layer_{index + 1}", settings.steps)
        learned = module.machine.weight.detach(), module.machine.hidden_bias.detach()
        with torch.no_grad():
            linear.weight.copy_(learned[0])
            linear.bias.copy_(learned[1])
        below = [*below, learned]
        curves.append(module.curve().cpu().numpy())
    assert isinstance(layers[0], Linear)
    absorb_map(layers[0], *pixels)
    return {"reconstruction_loss": np.stack(curves, axis=1)}
