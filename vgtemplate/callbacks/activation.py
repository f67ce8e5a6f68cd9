"""What flows through the hidden layers: signal and saturation."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.layers import ProbedLayer
from vgtemplate.callbacks.probe import Probe
from vgtemplate.lightning import pl
from vgtemplate.nn.activations import derivative


class ActivationProbe(Probe):
    """Records the forward side of each hidden layer on the training batch.

    Series (R, S, L): signal_rms and signal_mean of the layer's output (in a population: shortcut included),
    derivative_rms (sqrt of the mean phi'(z)^2), saturated_fraction; in other networks than populations also
    dead_fraction, the share of units whose |phi'(z)| is below 0.001 for the whole batch. Activations count however
    they are called, as modules or as functions.
    """

    looks = ("signals",)

    def begin(self, pl_module: pl.LightningModule) -> None:
        self._values: dict[str, dict[int, Tensor]] = {}
        for index, layer in enumerate(self.layers):
            before = partial(self._watch_activation, index, layer)
            self._handles.append(layer.activation.register_forward_pre_hook(before))
            self._handles.append(layer.output.register_forward_hook(partial(self._watch_output, index)))

    def _keep(self, name: str, index: int, value: Tensor) -> None:
        self._values.setdefault(name, {})[index] = value

    # Before the activation, which may overwrite its input.
    def _watch_activation(self, index: int, layer: ProbedLayer, activation: nn.Module, inputs: tuple[Tensor]) -> None:
        size, saturated = measure.slopes(derivative(activation, inputs[0]), layer.max_derivative)
        self._keep("derivative_rms", index, size)
        if saturated is not None:
            self._keep("saturated_fraction", index, saturated)

    def _watch_output(self, index: int, _: nn.Module, __: object, output: Tensor) -> None:
        signal = output.detach()
        self._keep("signal_rms", index, measure.rms(signal))
        self._keep("signal_mean", index, measure.mean(signal))

    def end(self, pl_module: pl.LightningModule) -> None:
        for name, values in self._values.items():
            if len(values) == len(self.layers):
                self.recorder.add(name, [values[index] for index in sorted(values)])
        self._values = {}
