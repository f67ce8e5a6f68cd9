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

    def _gradients(self, parameter: str) -> list[Tensor]:
        """Return every layer's gradient of its weight or bias; none if one has none, as a network without biases."""
        found = [gradient for layer in self.layers if (gradient := layer.gradient(parameter)) is not None]
        return found if len(found) == len(self.layers) else []

    def _norms(self, parameter: str) -> Tensor | list[Tensor]:
        gradients = self._gradients(parameter)
        return measure.norms(gradients) if gradients else []

    def _versions(self) -> list[tuple[int, int]]:
        """Return what changes when a weight's gradient is written to: nothing does where nothing is clipped."""
        return [(id(gradient), gradient._version) for gradient in self._gradients("weight")]

    def before_clip(self, pl_module: pl.LightningModule) -> None:
        self._before_clip, self._seen = self._norms("weight"), self._versions()
        self.recorder.add("weight_grad_norm_before_clip", self._before_clip)
        self.recorder.add("bias_grad_norm", self._norms("bias"))

    def end(self, pl_module: pl.LightningModule) -> None:
        if len(self._profile) == len(self.layers):
            self.recorder.add("gradient_rms", [self._profile[index] for index in sorted(self._profile)])
        after_clip = self._before_clip if self._versions() == self._seen else self._norms("weight")
        self.recorder.add("weight_grad_norm_after_clip", after_clip)
        self._profile = {}
