"""Losses and scores of numbers against torch's and closed forms, one replica at a time; class axes of any place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.callbacks.best import BestKeeper
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import TrainingConfig
from vgtemplate.training.losses import build_loss, replica_losses
from vgtemplate.training.module import ReplicaMean
from vgtemplate.training.scores import build_score, replica_accuracies

R, B = 3, 8
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean_squared_error": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "binary_cross_entropy": lambda outputs, targets: F.binary_cross_entropy_with_logits(outputs, targets),
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(R, B, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize("name", ["mean_squared_error", "l1", "huber"])
def test_a_loss_of_numbers_is_torchs_for_every_replica(name: str, shape: tuple[int, ...]) -> None:
    outputs, targets = draw(*shape), draw(*shape, seed=1)
    expected = torch.stack([LOSSES[name](outputs[r], targets[r]) for r in range(R)])
    torch.testing.assert_close(build_loss(name)(outputs, targets), expected, rtol=1e-13, atol=0)
    if shape == (1,):  # one output, and targets without that axis
        torch.testing.assert_close(build_loss(name)(outputs, targets[..., 0]), expected, rtol=1e-13, atol=0)


def test_targets_in_0_1_are_told_by_the_sigmoid_of_one_output() -> None:
    outputs, targets = draw(1), (draw() > 0).double()
    expected = torch.stack([LOSSES["binary_cross_entropy"](outputs[r, :, 0], targets[r]) for r in range(R)])
    torch.testing.assert_close(replica_losses(outputs, targets, "binary_cross_entropy"), expected)


@pytest.mark.parametrize("turned", [False, True])
def test_classes_of_sequences_stand_last_or_as_torch_has_them(turned: bool) -> None:
    """Outputs (B, T, K), or (B, K, T); labels of -100 do not count, as in torch."""
    logits, labels = draw(5, 4), torch.randint(0, 4, (R, B, 5), generator=torch.Generator().manual_seed(2))
    labels[:, :, -1] = -100
    expected = [F.cross_entropy(logits[r].movedim(-1, 1), labels[r]) for r in range(R)]
    given = logits.movedim(-1, 2) if turned else logits
    torch.testing.assert_close(replica_losses(given, labels), torch.stack(expected))
    right = (logits.argmax(dim=-1) == labels)[:, :, :-1].float().mean(dim=(1, 2))
    torch.testing.assert_close(replica_accuracies(given, labels), right)


def test_outputs_that_fit_no_labels_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"outputs \(8,\) are no logits of the class numbers \(8,\); needed: \(8, classes\)"
    ):
        replica_losses(draw(), torch.zeros(R, B, dtype=torch.int64))
    with pytest.raises(UserError, match=r"outputs \(8, 3\) and its targets \(8,\) differ"):
        build_loss("l1")(draw(3), draw())


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_r2_over_batches_is_that_over_everything(shape: tuple[int, ...]) -> None:
    """The mean of the batches' r2 would be another number."""
    score = build_score(TrainingConfig(loss="l1"))
    assert score.name == "score"
    targets = draw(*shape) + 5
    outputs = targets + 0.5 * draw(*shape, seed=1)
    mean = ReplicaMean(R)
    for part in (slice(0, 5), slice(5, 8)):
        mean.update(score.means(outputs[:, part], targets[:, part]), part.stop - part.start)
    y, p = (tensor.reshape(R, B, -1).numpy() for tensor in (targets, outputs))
    expected = (1 - ((y - p) ** 2).sum(axis=1) / ((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)).mean(axis=1)
    np.testing.assert_allclose(score.conclude(mean.compute()).numpy(), expected, rtol=1e-9)
    mean.reset()
    mean.update(score.means(outputs, targets), B)
    np.testing.assert_allclose(score.conclude(mean.compute()).numpy(), expected, rtol=1e-9)


def test_mean_absolute_error() -> None:
    score = build_score(TrainingConfig(loss="l1", score="mean_absolute_error"))
    outputs, targets = draw(1), draw(seed=1)
    torch.testing.assert_close(score.means(outputs, targets), (outputs[..., 0] - targets).abs().mean(dim=1))


@pytest.mark.parametrize(("by_score", "kept"), [(True, [1.0, 0.0]), (False, [0.0, 1.0])])
def test_the_best_is_told_by_the_score_or_by_the_loss(by_score: bool, kept: list[float]) -> None:
    class Module:
        model = nn.Linear(1, 1)
        best_weights: dict[str, Tensor] | None = None

    class State:
        fn = "fit"

    class Trainer:
        state = State()

    keeper, module = BestKeeper(by_score=by_score), Module()
    module.model = nn.ParameterDict({"w": nn.Parameter(torch.zeros(2))})  # type: ignore[assignment]
    for step, (loss, score) in enumerate([([1.0, 2.0], [0.1, 0.9]), ([3.0, 1.0], [0.5, 0.2])]):
        module.validations = [(step, torch.tensor(loss), torch.tensor(score))]  # type: ignore[attr-defined]
        module.model.w.data = torch.full((2,), float(step))  # type: ignore[attr-defined,union-attr]
        keeper.on_validation_end(Trainer(), module)  # type: ignore[arg-type]
    assert module.best_weights is not None
    assert module.best_weights["w"].tolist() == kept
