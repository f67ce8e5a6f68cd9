"""Gradients as they come down the network, and weight gradients before and after clipping."""

from __future__ import annotations

from functools import partial

import pytorch_lightning as pl
from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.layers import ProbedLayer
from vgtemplate.callbacks.probe import Probe


class GradientProbe(Probe):
    """Records the gradient profile and the weight-gradient norms: `Trainer(callbacks=[GradientProbe()])`.

    Works on a population and on any ordinary LightningModule. Series (R, S, L) of `recorder.series()`:
    gradient_rms (RMS over batch and units of dL/dz), weight_grad_norm_before_clip, weight_grad_norm_after_clip,
    bias_grad_norm.
    """

    def begin(self, pl_module: pl.LightningModule) -> None:
        self._profile: dict[int, Tensor] = {}
        for index, layer in enumerate(self.layers):
            if layer.is_population and layer.activation is not None:
                self._handles.append(layer.activation.register_forward_pre_hook(partial(self._watch, index, layer)))
            elif not layer.is_population:
                self._handles.append(layer.weighted.register_forward_hook(partial(self._watch, index, layer)))

    def _watch(self, index: int, layer: ProbedLayer, _: nn.Module, inputs: tuple[Tensor], *output: Tensor) -> None:
        """Watch a pre-activation: the output of an ordinary layer, or the input of a population's activation."""

        def keep(gradient: Tensor) -> None:
            self._profile[index] = measure.rms(layer.stack(gradient))

        (z,) = output or inputs
        if z.requires_grad:
            self._handles.append(z.register_hook(keep))

    def _norms(self, parameter: str) -> list[Tensor]:
        gradients = [layer.gradient(parameter) for layer in self.layers]
        return [measure.norm(gradient) for gradient in gradients if gradient is not None]

    def _versions(self) -> list[tuple[int, int]]:
        """Return what changes when a weight's gradient is written to: nothing does where nothing is clipped."""
        gradients = [getattr(layer.weighted.weight, "grad", None) for layer in self.layers]
        return [(id(gradient), gradient._version) for gradient in gradients if gradient is not None]

    def _add_complete(self, name: str, values: list[Tensor]) -> None:
        """Keep a series only if every layer has it: a network without biases has no bias gradients."""
        if len(values) == len(self.layers):
            self.recorder.add(name, values)

    def on_before_optimizer_step(self, *_: object) -> None:
        if self.active:
            self._before_clip, self._seen = self._norms("weight"), self._versions()
            self._add_complete("weight_grad_norm_before_clip", self._before_clip)
            self._add_complete("bias_grad_norm", self._norms("bias"))

    def end(self, pl_module: pl.LightningModule) -> None:
        self._add_complete("gradient_rms", [self._profile[index] for index in sorted(self._profile)])
        after_clip = self._before_clip if self._versions() == self._seen else self._norms("weight")
        self._add_complete("weight_grad_norm_after_clip", after_clip)
        self._profile = {}
