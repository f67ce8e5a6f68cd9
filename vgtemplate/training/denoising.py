"""The LightningModule of a population that removes noise from images: image in, image out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio

from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.noise import Noise
from vgtemplate.training.module import Batch, PopulationModule
from vgtemplate.training.scores import Score

_NOISE_LAYER = 1_000_000
"""Beyond every layer of a network, so that its noise is never a layer's."""


def _ratios(outputs: Tensor, images: Tensor) -> Tensor:
    """Return each replica's mean peak signal-to-noise ratio in dB, (R,)."""
    ratios = peak_signal_noise_ratio(outputs, images, data_range=(0.0, 1.0), reduction="none", dim=(2, 3, 4))
    return torch.as_tensor(ratios).mean(dim=1)


class DenoisingModule(PopulationModule):
    """Trains every replica to give back the image from the image plus Gaussian noise; labels are not looked at.

    The loss is the mean squared error, the score the mean over images of the peak signal-to-noise ratio (dB), of
    outputs clamped to the range [0, 1] of the pixels. The noise, of deviation `training.noise`, is each replica's own,
    new at each step; in evaluation it depends on the batch alone. The model maps (R, B, C, H, W) to the same shape.
    """

    def __init__(
        self, model: nn.Module, config: ArmConfig, seeds: Sequence[int], probe_images: Tensor | None = None
    ) -> None:
        super().__init__(model, config, len(seeds), probe_images)
        self.scoring = Score("psnr", _ratios)
        self.noise = Noise(seeds, _NOISE_LAYER)

    def compare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each replica's mean squared error and its PSNR in dB (detached), both (R,)."""
        images = batch[0]
        outputs = self(images + self.config.training.noise * self.noise.normal(images))
        losses = (outputs - images).square().flatten(1).mean(dim=1)
        return losses, self.scoring.means(outputs.detach(), images)
