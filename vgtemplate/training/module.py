"""The LightningModule of a population: R networks, R losses, one optimiser; R = 1 is an ordinary network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.noise import noise_sources, set_step
from vgtemplate.training.clipping import clip_by_norm, clip_by_value
from vgtemplate.training.optimiser import build_optimiser, build_schedule

Batch = tuple[Tensor, Tensor]
"""Images (R, B, ...) and labels (R, B)."""


def replica_losses(logits: Tensor, labels: Tensor, kind: str = "cross_entropy") -> Tensor:
    """Return each replica's mean loss over its batch, (R,), in nats.

    `cross_entropy` is softmax's; `binary_cross_entropy` takes sigmoid outputs against one-hot labels and sums over
    the classes (Nielsen, chapter 3, eq. 63).
    """
    num_replicas, batch, num_classes = logits.shape
    if kind == "cross_entropy":
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(num_replicas, batch).mean(dim=1)
    targets = F.one_hot(labels, num_classes).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=2).mean(dim=1)


def replica_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each replica's share of images classified correctly, (R,); non-finite logits count as wrong."""
    finite = logits.isfinite().all(dim=2)
    return ((logits.argmax(dim=2) == labels) & finite).float().mean(dim=1)


class ReplicaMean(Metric):
    """Mean of an (R,) quantity over batches, weighted by their sizes, across processes."""

    total: Tensor
    count: Tensor

    def __init__(self, num_replicas: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(num_replicas, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, batch_size: int) -> None:
        """Add a batch's (R,) means."""
        self.total += values.double() * batch_size
        self.count += batch_size

    def compute(self) -> Tensor:
        """Return the (R,) means over everything seen."""
        return self.total / self.count


class PopulationModule(pl.LightningModule):
    """Trains every replica of a population as if it were alone.

    The loss is the sum over replicas of each replica's mean loss, so no gradient mixes. Clipping is per replica.

    Args:
        model: maps (R, B, ...) images to (R, B, K) logits: of vgtemplate.nn, or of `replicate`.
        config: optimiser, clipping and loss are read from it.
        probe_images: (N, ...) images over which dead units are judged, or None.

    After `Trainer.test`, `test_losses` and `test_scores` hold each replica's result, (R,). If a BestKeeper watched the
    training, `best_weights` are the network's at each replica's best validation.
    """

    score = "accuracy"
    """What `test_scores` are, as records and loggers name it."""

    def __init__(
        self, model: nn.Module, config: ArmConfig, num_replicas: int, probe_images: Tensor | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.num_replicas = num_replicas
        # No buffer: under ddp every buffer is broadcast at every step.
        self.probe_images = probe_images
        self.losses = ReplicaMean(num_replicas)
        self.scores = ReplicaMean(num_replicas)
        self.validations: list[tuple[int, Tensor, Tensor]] = []
        self.best_weights: dict[str, Tensor] | None = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["validations"] = self.validations

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validations = checkpoint.get("validations", [])

    def on_fit_start(self) -> None:
        if self.probe_images is not None:
            self.probe_images = self.probe_images.to(self.device, next(self.parameters()).dtype)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.model(images)
        return outputs

    def compare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each replica's loss and its score (detached) on a batch, both (R,)."""
        images, labels = batch
        logits = self(images)
        return replica_losses(logits, labels, self.config.training.loss), replica_accuracies(logits.detach(), labels)

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
        # Under ddp every process draws its own noise for its share of the batch.
        set_step(self._noise_sources, self.global_step * self.trainer.world_size + self.trainer.global_rank)
        losses, scores = self.compare(batch)
        self.newest_losses = losses.detach()
        if self.trainer.loggers:
            self.log("train_loss", losses.detach().mean(), prog_bar=True)
        return {"loss": losses.sum() + self._penalty(), "losses": losses.detach(), "scores": scores}

    def _evaluate(self, batch: Batch, batch_idx: int) -> None:
        # Counted down from -1, so that no noise of the evaluation is one that was trained on.
        set_step(self._noise_sources, -1 - batch_idx)
        losses, scores = self.compare(batch)
        self.losses.update(losses, batch[1].shape[1])
        self.scores.update(scores, batch[1].shape[1])

    def _compute(self) -> tuple[Tensor, Tensor]:
        # torchmetrics turns a result of one element, that is of one replica, into a scalar.
        losses = self.losses.compute().reshape(self.num_replicas)
        scores = self.scores.compute().reshape(self.num_replicas)
        self.losses.reset()
        self.scores.reset()
        return losses, scores

    def _conclude(self, stage: str) -> tuple[Tensor, Tensor]:
        losses, scores = self._compute()
        self.log(f"{stage}_loss", losses.mean())
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
                for index, (images, labels) in enumerate(batches):
                    self._evaluate((images.to(dtype), labels), index)
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
