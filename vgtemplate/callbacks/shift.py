"""How far the distribution of a layer's input moves in one step: internal covariate shift."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.contracts import ShowsImages, require
from vgtemplate.callbacks.probe import Probe
from vgtemplate.callbacks.replay import alone, call
from vgtemplate.lightning import pl
from vgtemplate.nn.noise import set_step
from vgtemplate.nn.norm import UnitNoise

_NOISE_STEP = 0
"""The step whose noise every measurement sees, so that noise is no shift."""

Moments = list[tuple[Tensor, Tensor]]


class ShiftProbe(Probe):
    """Records `input_shift` (R, S, L): the drift of each hidden layer's input in the probed step, in deviations.

    Ioffe & Szegedy 2015 (sections 1 and 4.1) call the change of the distribution of a layer's inputs, caused by the
    update of the layers below, internal covariate shift. Here: for every unit j of the input (every channel of an
    image), mu_j and sigma_j are its mean and deviation over the module's `probe_images` (N, ...), before and (')
    after the step;

        input_shift = mean over j of (|mu_j' - mu_j| + |sigma_j' - sigma_j|) / sigma_j,

    units with sigma_j = 0 left out, NaN where none is left. The input of layer l is the output of layer l - 1,
    shortcut, normalisation and dropout included; layer 1's is the image, which never moves: 0. The network runs in
    the mode of the training, so batch normalisation takes the moments of the probe images, all at once, and dropout
    and random slopes are those of one fixed step. The noise of `norm_noise` is a shift itself: it is that of the step
    before which the moments are taken.

    Raises:
        ValueError: at the start of the training, if the module is no population with `hidden_layers` or offers no
            `probe_images`.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._moments: Moments = []
        self._measured_at = -1
        self.require_population(pl_module)
        require(pl_module, ShowsImages, self)

    def begin(self, pl_module: pl.LightningModule) -> None:
        # Where every step is probed, the last one's end is this one's start.
        if self._measured_at != self._step:
            self._moments = self._measure(pl_module)
            self._measured_at = self._step

    def end(self, pl_module: pl.LightningModule) -> None:
        before, self._moments = self._moments, self._measure(pl_module)
        self._measured_at = pl_module.global_step
        shifts = list(map(measure.moment_shift, before, self._moments))
        unmoved = torch.zeros(len(self._images(pl_module)), dtype=torch.float64, device=pl_module.device)
        self.recorder.add("input_shift", [unmoved, *shifts])

    def _images(self, pl_module: pl.LightningModule) -> Tensor:
        """Return the probe images, the same for every replica: (N, ...) -> (R, N, ...), without a copy."""
        module = require(pl_module, ShowsImages, self)
        return module.probe_images.expand(module.num_replicas, *module.probe_images.shape)

    @torch.no_grad()
    def _measure(self, pl_module: pl.LightningModule) -> Moments:
        """Return the moments of the input of hidden layers 2 to L."""
        found: Moments = []

        def watch(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            found.append(measure.moments(inputs[0]))

        with alone(pl_module, _NOISE_STEP):
            for noise in pl_module.modules():
                if isinstance(noise, UnitNoise):
                    set_step(noise, pl_module.global_step)
            for layer in self.layers[1:]:
                layer.output.register_forward_pre_hook(watch)
            call(pl_module, "forward", self._images(pl_module), parameters={})
        return found
