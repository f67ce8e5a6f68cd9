"""A plain recording of a training: what the published rules look at, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks.doctor.case import Case, Training, steps_of
from benchmarks.doctor.check import lightning_losses

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding, nn.EmbeddingBag)


@dataclass
class Recording:
    """Series of a training: per step (rows) and weight matrix (columns), or as said.

    Args:
        losses: (S,).
        accuracies: (S,), or empty where the task has no classes.
        gradient_mean, gradient_norm, gradient_zero: (S, L): mean |g|, 2-norm, share of zeros.
        gradient_span: (S, L): from the 5th to the 95th percentile.
        all_zero: (S,): share of zeros in all weight gradients.
        weight_variance, update_ratio: (S, L).
        zeros: (S',): share of zeros in an output of a ReLU.
        active: per ReLU layer and step: each unit's share of samples that switch it on.
        far_amazon, far_diagnosis: per output of a tanh or sigmoid: the share of inputs beyond the peers' bounds.
        broken: a gradient, loss or output was not finite.
        unchanged: a weight matrix did not change in three steps.
    """

    losses: np.ndarray
    accuracies: np.ndarray
    gradient_mean: np.ndarray
    gradient_norm: np.ndarray
    gradient_zero: np.ndarray
    gradient_span: np.ndarray
    all_zero: np.ndarray
    weight_variance: np.ndarray
    update_ratio: np.ndarray
    zeros: np.ndarray
    active: list[np.ndarray]
    far_amazon: list[float]
    far_diagnosis: list[float]
    broken: bool
    unchanged: bool

    def epochs(self) -> np.ndarray | None:
        """Return the mean accuracy of each tenth of the steps; None where there is none."""
        if not len(self.accuracies):
            return None
        return np.array([part.mean() for part in np.array_split(self.accuracies, 10) if len(part)])


@dataclass
class _Recorder:
    weights: list[nn.Parameter]
    rows: list[list[tuple[float, ...]]] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    zeros: list[float] = field(default_factory=list)
    active: list[np.ndarray] = field(default_factory=list)
    amazon: list[float] = field(default_factory=list)
    diagnosis: list[float] = field(default_factory=list)
    several: bool = False
    output: Any = None
    broken: bool = False
    before: list[Tensor] = field(default_factory=list)
    still: list[int] = field(default_factory=list)

    def pre(self, optimizer: Any, args: Any, keywords: Any) -> None:
        self.before = [weight.detach().clone() for weight in self.weights]

    def post(self, optimizer: Any, args: Any, keywords: Any) -> None:
        # After the step, since a closure (Lightning's, LBFGS's) computes the gradients inside it.
        held = {id(each) for group in optimizer.param_groups for each in group["params"]}
        row, zero, size = [], 0, 0
        for number, (weight, old) in enumerate(zip(self.weights, self.before, strict=True)):
            if self.several and id(weight) not in held:
                row.append((np.nan,) * 6)
                continue
            now, g = weight.detach().float(), weight.grad
            ratio = float((now - old.float()).norm() / (old.float().norm() + 1e-9))
            self.still[number] = self.still[number] + 1 if ratio < 1e-5 else 0
            after = (float(now.var()) if now.numel() > 1 else 0.0, ratio)
            if g is None:
                row.append((np.nan,) * 4 + after)
                continue
            g = (g.to_dense() if g.is_sparse else g).detach().float().flatten()
            self.broken |= not bool(g.isfinite().all())
            low, high = torch.quantile(g[:100_000].nan_to_num(), torch.tensor([0.05, 0.95])).tolist()
            nothing = int((g == 0).sum())
            zero, size = zero + nothing, size + g.numel()
            row.append((float(g.abs().mean()), float(g.norm()), nothing / g.numel(), high - low, *after))
        self.rows.append(row)
        self.totals.append(zero / size if size else 0.0)

    def units(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or not module.training:
            return
        if isinstance(module, nn.ReLU | nn.ReLU6):
            self.zeros.append(float((output <= 0).float().mean()))
            axis = 1 if output.dim() == 4 else output.dim() - 1
            self.active.append((output > 0).float().transpose(0, axis).flatten(1).mean(1).numpy())
        else:
            x = inputs[0].detach()
            low, high = (-9.4999, 9.4999) if isinstance(module, nn.Tanh) else (-23.0, 16.99999)
            self.amazon.append(float(((x < low) | (x > high)).float().mean()))
            self.diagnosis.append(float((x.abs() >= 5).float().mean()))

    def whole(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.output = output.detach() if isinstance(output, Tensor) else None
        if self.output is not None and self.output.is_floating_point():
            self.broken |= not bool(self.output.isfinite().all())


def _accuracy(output: Any, batch: Any) -> float | None:
    if not isinstance(output, Tensor) or output.dim() != 2 or not isinstance(batch, tuple | list) or len(batch) < 2:
        return None
    wanted = batch[-1]
    if wanted.is_floating_point() or wanted.shape != output.shape[:1] or output.shape[1] < 2:
        return None
    return float((output.argmax(1) == wanted).float().mean())


def _train(training: Training, steps: int, recorder: _Recorder) -> tuple[list[float], list[float]]:
    if training.optimizer is None:
        return lightning_losses(training, steps), []
    batches: list[Any] = []

    def kept() -> Any:
        for batch in training.batches:
            batches[:] = [batch]
            yield batch

    losses, right = [], []
    again = Training(training.model, kept(), training.optimizer, training.loss, training.train_step)
    for value in steps_of(again, steps):
        losses.append(float(value.detach()))
        share = _accuracy(recorder.output, batches[0])
        right += [] if share is None else [share]
    return losses, right


def record(case: Case, seed: int) -> Recording:
    """Train a case in plain torch and record it; at most 40 weight matrices are looked at, evenly taken."""
    training = case.make(seed)
    weights = [layer.weight for layer in training.model.modules() if isinstance(layer, LAYERS)]
    weights = [weight for weight in weights if isinstance(weight, nn.Parameter) and weight.requires_grad]
    weights = weights or [weight for weight in training.model.parameters() if weight.requires_grad and weight.dim() > 1]
    weights = weights[:: max(1, len(weights) // 40)]
    recorder = _Recorder(weights, still=[0] * len(weights), several=isinstance(training.optimizer, list))
    handles: list[Any] = [
        register_optimizer_step_pre_hook(recorder.pre),
        register_optimizer_step_post_hook(recorder.post),
        *(
            []
            if isinstance(training.model, torch.jit.ScriptModule)
            else [training.model.register_forward_hook(recorder.whole)]
        ),
        *(
            module.register_forward_hook(recorder.units)
            for module in training.model.modules()
            if isinstance(module, nn.ReLU | nn.ReLU6 | nn.Tanh | nn.Sigmoid)
        ),
    ]
    try:
        losses, right = _train(training, case.steps, recorder)
    finally:
        for handle in handles:
            handle.remove()
    table = np.array(recorder.rows, dtype=float).reshape(-1, len(weights), 6)
    mean, norm, nothing, span, variance, ratio = np.moveaxis(table, 2, 0)
    return Recording(
        np.array(losses), np.array(right), mean, norm, nothing, span, np.array(recorder.totals), variance, ratio,
        np.array(recorder.zeros), recorder.active, recorder.amazon, recorder.diagnosis,
        recorder.broken or not np.isfinite(losses).all(), any(count >= 3 for count in recorder.still),
    )  # fmt: skip
