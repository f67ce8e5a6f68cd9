"""Gradients as they come down the network, and weight gradients before and after clipping."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.probe import Probe
from vgtemplate.lightning import pl


class GradientProbe(Probe):
    """Records the gradient profile and the weight-gradient norms: `Trainer(callbacks=[GradientProbe()])`.

    Works on a population and on any LightningModule. Series (R, S, L) of `recorder.series()`:
    gradient_rms (RMS over batch and units of dL/dz), weight_grad_norm_before_clip, weight_grad_norm_after_clip,
    bias_grad_norm; in recurrent layers also time_slope (decades per step back in time).

    z is what a layer's activation is handed, after normalisation and shortcut where these stand before it; of a layer
    without an activation it is the layer's output.
    """

    looks = ("gradients",)

    def begin(self, pl_module: pl.LightningModule) -> None:
        self._profile: dict[int, Tensor] = {}
        for index, layer in enumerate(self.layers):
            self._handles.append(layer.activation.register_forward_pre_hook(partial(self._watch, index)))

    def _watch(self, index: int, _: nn.Module, inputs: tuple[Tensor]) -> None:
        def keep(gradient: Tensor) -> None:
            self._profile[index] = measure.rms(gradient)

        if inputs[0].requires_grad:
            self._handles.append(inputs[0].register_hook(keep))

    def _norms(self, parameter: str) -> list[Tensor]:
        gradients = [layer.gradient(parameter) for layer in self.layers]
        return [measure.norm(gradient) for gradient in gradients if gradient is not None]

    def _versions(self) -> list[tuple[int, int]]:
        """Return what changes when a weight's gradient is written to: nothing does where nothing is clipped."""
        gradients = [layer.gradient("weight") for layer in self.layers]
        return [(id(gradient), gradient._version) for gradient in gradients if gradient is not None]

    def _add_complete(self, name: str, values: list[Tensor]) -> None:
        """Keep a series only if every layer has it: a network without biases has no bias gradients."""
        if len(values) == len(self.layers):
            self.recorder.add(name, values)

    def before_clip(self, pl_module: pl.LightningModule) -> None:
        self._before_clip, self._seen = self._norms("weight"), self._versions()
        self._add_complete("weight_grad_norm_before_clip", self._before_clip)
        self._add_complete("bias_grad_norm", self._norms("bias"))

    def end(self, pl_module: pl.LightningModule) -> None:
        self._add_complete("gradient_rms", [self._profile[index] for index in sorted(self._profile)])
        after_clip = self._before_clip if self._versions() == self._seen else self._norms("weight")
        self._add_complete("weight_grad_norm_after_clip", after_clip)
        self._profile = {}
