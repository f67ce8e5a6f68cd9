"""What flows through the hidden layers: signal, saturation, dead units."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.layers import ProbedLayer, derivative
from vgtemplate.callbacks.probe import Probe

_CHUNK = 250
"""Probe images a forward pass; bounds the memory of a deep convolutional population."""


class ActivationProbe(Probe):
    """Records the forward side of each hidden layer on the training batch, and dead units on the probe images.

    Series (R, S, L): signal_rms and signal_mean of the layer's output (shortcut included), derivative_rms
    (sqrt of the mean phi'(z)^2), saturated_fraction, and dead_fraction where the LightningModule offers
    `probe_images` (N, ...) and `num_replicas`; dead_fraction is NaN where
    an output is.
    """

    def begin(self, pl_module: pl.LightningModule) -> None:
        self._values: dict[str, dict[int, Tensor]] = {}
        self._find_dead_units(pl_module)
        for index, layer in enumerate(self.layers):
            if layer.output is not None and layer.activation is not None:
                self._handles.append(layer.activation.register_forward_pre_hook(self._watch_activation(index, layer)))
                self._handles.append(layer.output.register_forward_hook(self._watch_output(index, layer)))

    def _keep(self, name: str, index: int, value: Tensor) -> None:
        self._values.setdefault(name, {})[index] = value

    def _watch_activation(self, index: int, layer: ProbedLayer) -> Any:
        # Before the activation, which may overwrite its input.
        def hook(activation: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            slope = layer.stack(derivative(activation, inputs[0]))
            self._keep("derivative_rms", index, measure.rms(slope))
            if layer.max_derivative is not None:
                self._keep("saturated_fraction", index, measure.saturated_fraction(slope, layer.max_derivative))

        return hook

    def _watch_output(self, index: int, layer: ProbedLayer) -> Any:
        def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            signal = layer.stack(output.detach())
            self._keep("signal_rms", index, measure.rms(signal))
            self._keep("signal_mean", index, measure.mean(signal))

        return hook

    def _find_dead_units(self, pl_module: pl.LightningModule) -> None:
        """Pass the probe images through the network as in evaluation; only populations offer them."""
        images: Tensor | None = getattr(pl_module, "probe_images", None)
        num_replicas: int | None = getattr(pl_module, "num_replicas", None)
        if images is None or num_replicas is None:
            return
        silent: dict[int, Tensor] = {}
        broken: dict[int, Tensor] = {}

        def hook_of(index: int) -> Any:
            def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
                units, nan = measure.silent_units(output), output.isnan().flatten(1).any(dim=1)
                silent[index] = units & silent[index] if index in silent else units
                broken[index] = nan | broken[index] if index in broken else nan

            return hook

        handles = [
            layer.activation.register_forward_hook(hook_of(index))
            for index, layer in enumerate(self.layers)
            if layer.activation is not None
        ]
        modes = {module: module.training for module in pl_module.modules()}
        pl_module.eval()
        try:
            with torch.no_grad():
                for chunk in images.split(_CHUNK):
                    pl_module(chunk.expand(num_replicas, *chunk.shape))
        finally:
            for module, mode in modes.items():
                module.training = mode
            for handle in handles:
                handle.remove()
        for index, units in silent.items():
            share = measure.mean(units.to(torch.float32))
            self._keep("dead_fraction", index, share.masked_fill(broken[index], torch.nan))

    def end(self, pl_module: pl.LightningModule) -> None:
        for name, values in self._values.items():
            if len(values) == len(self.layers):
                self.recorder.add(name, [values[index] for index in sorted(values)])
        self._values = {}
