"""How far a layer's gradient turns when the layers below it take their step: the coupling between layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vgtemplate import measure
from vgtemplate.callbacks.contracts import GivesLosses, require
from vgtemplate.callbacks.probe import Probe
from vgtemplate.callbacks.replay import alone, call
from vgtemplate.lightning import pl
from vgtemplate.nn.noise import current_step


class GradientChangeProbe(Probe):
    """Records `gradient_change` (R, S, L): ||G' - G|| / ||G|| of each hidden layer's weight in the probed step.

    Santurkar et al. 2018 (How Does Batch Normalization Help Optimization?, section 2.2, definition 2.1), here in
    units of ||G||: on the step's own batch, with its noise,

        G_i  = grad_{W_i} L(W_1, ..., W_k)                            every parameter as before the step,
        G'_i = grad_{W_i} L(W_1', ..., W_{i-1}', W_i, ..., W_k)       hidden layers below i after it, with all that
                                                                      they learn: weights, biases, norms, slopes.

    L is the module's `replica_losses(batch)` (R,), so without clipping and without penalties on the weights; a
    step is what the optimiser made of it. 0 for layer 1, which has no layer below; NaN where G is zero. Costs a
    forward and a backward pass per layer and a copy of the parameters.

    Raises:
        ValueError: at the start of the training, if the module is no population with `hidden_layers` or offers no
            `replica_losses`.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self.require_population(pl_module)
        require(pl_module, GivesLosses, self)
        names = {module: name for name, module in pl_module.named_modules()}
        self._weights = [f"{names[layer.weighted]}.weight" for layer in self.layers]
        self._members = [
            [f"{names[layer.output]}.{name}" for name, _ in layer.output.named_parameters()] for layer in self.layers
        ]

    def begin(self, pl_module: pl.LightningModule) -> None:
        self._before = {name: parameter.detach().clone() for name, parameter in pl_module.named_parameters()}

    def before_clip(self, pl_module: pl.LightningModule) -> None:
        # Here, since another callback may pass other batches through the network before this one's turn at the end.
        self._noise_step = current_step(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batch = batch
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._batch = None

    def end(self, pl_module: pl.LightningModule) -> None:
        after = {name: parameter.detach() for name, parameter in pl_module.named_parameters()}
        state, self._before = self._before, {}
        with alone(pl_module, self._noise_step):
            gradients = self._gradients(pl_module, state, self._weights)
            changes = [torch.zeros(len(gradients[0]), dtype=torch.float64, device=gradients[0].device)]
            for index in range(1, len(self.layers)):
                state |= {name: after[name] for name in self._members[index - 1]}
                (changed,) = self._gradients(pl_module, state, self._weights[index : index + 1])
                changes.append(measure.gradient_change(gradients[index], changed))
        self.recorder.add("gradient_change", changes)

    @torch.enable_grad()
    def _gradients(
        self, pl_module: pl.LightningModule, state: dict[str, Tensor], names: Sequence[str]
    ) -> tuple[Tensor, ...]:
        """Return dL/d(each named parameter) at a state of all parameters; no graph below the lowest of them."""
        leaves = {name: state[name].detach().requires_grad_() for name in names}
        losses = call(pl_module, "replica_losses", self._batch, parameters=state | leaves)
        return torch.autograd.grad(losses.sum(), list(leaves.values()))
