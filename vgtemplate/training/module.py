"""The LightningModule of a population: R networks, R losses, one optimiser; R = 1 is an ordinary network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torchmetrics import Metric

from vgtemplate.config.errors import UserError
from vgtemplate.config.own import Factory, their_errors
from vgtemplate.config.schema import ArmConfig
from vgtemplate.lightning import pl
from vgtemplate.nn.noise import noise_sources, set_step
from vgtemplate.nn.replicate import Population
from vgtemplate.training.clipping import clip_by_norm, clip_by_value
from vgtemplate.training.losses import build_loss
from vgtemplate.training.optimiser import build_optimiser, build_schedule
from vgtemplate.training.scores import build_score

Batch = tuple[Any, Tensor]
"""Inputs (R, B, ...), e.g. images, and targets (R, B, ...), e.g. labels."""


class ReplicaMean(Metric):
    """Mean of an (R,) quantity over batches, weighted by their sizes, across processes."""

    total: Tensor
    count: Tensor

    def __init__(self, num_replicas: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(num_replicas, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, batch_size: int) -> None:
        """Add a batch's means, (R,), or (R, ...) where there are several of each replica."""
        if self.total.shape != values.shape:
            self.total = torch.zeros_like(values, dtype=torch.float64)
        # Not in place: what one kind of evaluation leaves may be tensors of the inference mode, and the next not.
        self.total = self.total + values.double() * batch_size
        self.count = self.count + batch_size

    def compute(self) -> Tensor:
        """Return the means over everything seen, in the shape of one batch's."""
        return self.total / self.count


def _as_type(part: Any, dtype: torch.dtype | str) -> Any:
    return part.type(dtype) if isinstance(part, Tensor) and part.is_floating_point() else part


class PopulationModule(pl.LightningModule):
    """Trains every replica of a population as if it were alone.

    The loss is the sum over replicas of each replica's mean loss, so no gradient mixes. Clipping is per replica.

    Args:
        model: maps (R, B, ...) inputs to (R, B, ...) outputs, e.g. logits: of vgtemplate.nn, or of `replicate`. Inputs
            that are a mapping are handed over as keyword arguments.
        config: optimiser, clipping, loss and score are read from it.
        probe_images: (N, ...) images over which dead units are judged, or None.

    After `Trainer.test`, `test_losses` and `test_scores` hold each replica's result, (R,). If a BestKeeper watched the
    training, `best_weights` are the network's at each replica's best validation.
    """

    def __init__(
        self, model: nn.Module, config: ArmConfig, num_replicas: int, probe_images: Tensor | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.num_replicas = num_replicas
        # No buffer: under ddp every buffer is broadcast at every step.
        self.probe_images = probe_images
        self.loss_function, self.scoring = build_loss(config.training.loss), build_score(config.training)
        self.losses = ReplicaMean(num_replicas)
        self.scores = ReplicaMean(num_replicas)
        self.validations: list[tuple[int, Tensor, Tensor]] = []
        self.best_weights: dict[str, Tensor] | None = None
        self._summed: dict[str, Tensor] = {}

    @property
    def score(self) -> str:
        """What `test_scores` are, as records and loggers name it; "" where there is no score."""
        return self.scoring.name

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["validations"] = self.validations
        if isinstance(self.model, Population):
            checkpoint["vectorise"] = self.model.vectorise

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validations = checkpoint.get("validations", [])
        if isinstance(self.model, Population):
            self.model.vectorise = checkpoint.get("vectorise", self.model.vectorise)

    def on_fit_start(self) -> None:
        if self.probe_images is not None:
            self.probe_images = self.probe_images.to(self.device, next(self.parameters()).dtype)

    def forward(self, inputs: Any) -> Any:
        named = inputs if isinstance(inputs, Mapping) else {}
        unnamed = () if named else inputs if isinstance(inputs, tuple | list) else (inputs,)
        if not isinstance(self.config.model, Factory):
            return self.model(*unnamed, **named)
        with their_errors(f"model.factory {self.config.model.factory}"):
            return self.model(*unnamed, **named)

    def compare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each replica's loss, (R,), and what its score is made of (detached), (R, ...), on a batch."""
        if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[1], Tensor):
            kind = type(batch).__name__
            raise UserError(f"a batch is a {kind}; a model needs (inputs, targets), and a module of one's own any")
        inputs, targets = batch
        outputs = self(inputs)
        means = self.scoring.means(tree_map(lambda part: part.detach(), outputs), targets)
        return self.loss_function(outputs, targets), means

    def replica_losses(self, batch: Batch) -> Tensor:
        """Return each replica's loss on a batch, (R,): what the probes differentiate."""
        return self.compare(batch)[0]

    def _penalty(self) -> Tensor | float:
        """Return the L1 penalty of all replicas: on weights only, which have more axes than biases and scales."""
        if not self.config.optimiser.l1:
            return 0.0
        weights: list[Tensor] = [parameter for parameter in self.parameters() if parameter.dim() > 2]
        norms: Tensor = torch.stack(torch._foreach_norm(weights, 1))
        return self.config.optimiser.l1 * norms.sum()

    @cached_property
    def _noise_sources(self) -> nn.ModuleList:
        # Found once: to walk a deep network at each step takes longer than one of its layers.
        return nn.ModuleList(noise_sources(self))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        each = self.trainer.accumulate_grad_batches
        part = batch_idx % each
        # Under ddp every process draws its own noise for its share of the batch, and for each of those of one step.
        drawn = (self.global_step * each + part) * self.trainer.world_size + self.trainer.global_rank
        set_step(self._noise_sources, drawn)
        losses, means = self.compare(batch)
        self.newest_losses = losses.detach()
        if self.trainer.loggers:
            self.log("train_loss", losses.detach().mean(), prog_bar=True)
        reported = self._over_the_step(part, {"losses": losses.detach(), "scores": self.scoring.conclude(means)})
        return {"loss": losses.sum() + self._penalty(), **reported}

    def _over_the_step(self, part: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the means over those batches of a step that were seen so far."""
        if self.trainer.accumulate_grad_batches == 1:
            return values
        if part:
            values = {name: value + self._summed[name] for name, value in values.items()}
        self._summed = values
        return {name: value / (part + 1) for name, value in values.items()}

    def on_after_backward(self) -> None:
        if self.config.training.precision == "16-mixed":
            # One factor scales all losses, and a gradient that is not finite stops the step of all replicas.
            diverged = ~self.newest_losses.isfinite()
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad.masked_fill_(diverged.view(-1, *[1] * (parameter.dim() - 1)), 0.0)

    def _evaluate(self, batch: Batch, batch_idx: int) -> None:
        # Counted down from -1, so that no noise of the evaluation is one that was trained on.
        set_step(self._noise_sources, -1 - batch_idx)
        losses, means = self.compare(batch)
        self.losses.update(losses, batch[1].shape[1])
        self.scores.update(means, batch[1].shape[1])

    def _compute(self) -> tuple[Tensor, Tensor]:
        # torchmetrics turns a result of one element, that is of one replica, into a scalar.
        losses = self.losses.compute().reshape(self.num_replicas)
        means = self.scores.compute()
        scores = self.scoring.conclude(means.reshape(self.num_replicas) if means.dim() < 2 else means)
        self.losses.reset()
        self.scores.reset()
        return losses, scores

    def _conclude(self, stage: str) -> tuple[Tensor, Tensor]:
        losses, scores = self._compute()
        self.log(f"{stage}_loss", losses.mean())
        if self.score:
            self.log(f"{stage}_{self.score}", scores.mean())
        return losses, scores

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        losses, scores = self._conclude("validation")
        self.validations.append((self.global_step, losses.cpu(), scores.cpu()))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self.test_losses, self.test_scores = self._conclude("test")

    def score_over(self, batches: Iterable[Batch]) -> Tensor:
        """Return each replica's score over batches in evaluation mode, (R,), the mode restored; no logging."""
        training, dtype = self.training, next((weight.dtype for weight in self.parameters()), self.dtype)
        self.eval()
        try:
            # As the Trainer's own evaluation does: the metrics' states are tensors of this mode.
            with torch.inference_mode():
                for index, (inputs, targets) in enumerate(batches):
                    self._evaluate((tree_map(lambda part: _as_type(part, dtype), inputs), targets), index)
                scores = self._compute()[1]
        finally:
            self.train(training)
        return scores.clone()

    def configure_optimizers(self) -> Any:
        optimiser = build_optimiser(self.config.optimiser, self.parameters())
        if self.config.optimiser.schedule == "constant" and not self.config.optimiser.warm_up:
            return optimiser
        num_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = build_schedule(self.config.optimiser, optimiser, num_steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip each replica by itself; the trainer's `gradient_clip_val`, if given, replaces the configuration's.

        As with Lightning, a value of 0 clips nothing.
        """
        kind, threshold = str(self.config.clipping.kind), self.config.clipping.threshold
        if gradient_clip_val is not None:
            threshold = float(gradient_clip_val)
            # The algorithm is an enumeration that equals its value but does not print as it.
            kind = "none" if threshold <= 0 else "value" if gradient_clip_algorithm == "value" else "norm"
        if kind == "norm":
            clip_by_norm(self.parameters(), threshold)
        elif kind == "value":
            clip_by_value(self.parameters(), threshold)
