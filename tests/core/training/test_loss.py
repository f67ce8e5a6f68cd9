"""Each replica's loss and accuracy against torch's, one replica at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.training.losses import replica_losses
from vgtemplate.training.scores import replica_accuracies

R, B, K = 3, 7, 5


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(R, B, K, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3


@pytest.fixture
def labels() -> Tensor:
    return torch.randint(0, K, (R, B), generator=torch.Generator().manual_seed(1))


def test_cross_entropy_is_torchs_for_every_replica(logits: Tensor, labels: Tensor) -> None:
    expected = torch.stack([F.cross_entropy(logits[r], labels[r]) for r in range(R)])
    losses = replica_losses(logits, labels)
    assert losses.shape == (R,)
    torch.testing.assert_close(losses, expected, rtol=1e-13, atol=0)


def test_binary_cross_entropy_is_nielsens_cost(logits: Tensor, labels: Tensor) -> None:
    """Nielsen, chapter 3, eq. 63: summed over the outputs, averaged over the images."""
    a, y = torch.sigmoid(logits), F.one_hot(labels, K).double()
    costs = -(y * a.log() + (1 - y) * (1 - a).log()).sum(dim=2)
    losses = replica_losses(logits, labels, "binary_cross_entropy")
    torch.testing.assert_close(losses, costs.mean(dim=1), rtol=1e-12, atol=0)


def test_untrained_networks_loss_is_known_in_closed_form(labels: Tensor) -> None:
    zeros = torch.zeros(R, B, K)
    torch.testing.assert_close(replica_losses(zeros, labels), torch.full((R,), math.log(K)))
    torch.testing.assert_close(replica_losses(zeros, labels, "binary_cross_entropy"), torch.full((R,), K * math.log(2)))


@pytest.mark.parametrize("kind", ["cross_entropy", "binary_cross_entropy"])
def test_gradient_of_a_replica_is_its_own(kind: str, logits: Tensor, labels: Tensor) -> None:
    together = logits.clone().requires_grad_()
    replica_losses(together, labels, kind).sum().backward()
    for r in range(R):
        alone = logits[r : r + 1].clone().requires_grad_()
        replica_losses(alone, labels[r : r + 1], kind).sum().backward()
        torch.testing.assert_close(together.grad[r], alone.grad[0], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("kind", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e308])
def test_replica_that_is_not_finite_leaves_the_others_alone(
    kind: str, bad: float, logits: Tensor, labels: Tensor
) -> None:
    alone = replica_losses(logits, labels, kind)
    logits[1] = bad
    logits.requires_grad_()
    losses = replica_losses(logits, labels, kind)
    assert torch.equal(losses[[0, 2]], alone[[0, 2]])
    losses.sum().backward()
    assert logits.grad[[0, 2]].isfinite().all()


def test_huge_logits_have_a_finite_loss(labels: Tensor) -> None:
    logits = F.one_hot(labels, K).float() * 1e4
    assert replica_losses(logits, labels).tolist() == [0.0] * R
    assert replica_losses(-logits, labels).isfinite().all()


def test_accuracy_is_the_share_of_right_answers(logits: Tensor, labels: Tensor) -> None:
    expected = [sum(int(logits[r, b].argmax() == labels[r, b]) for b in range(B)) / B for r in range(R)]
    assert replica_accuracies(logits, labels).tolist() == pytest.approx(expected)
    assert 0 < sum(expected) < R
    right = F.one_hot(labels, K).float()
    assert replica_accuracies(right, labels).tolist() == [1.0] * R
    assert replica_accuracies(-right, labels).tolist() == [0.0] * R


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_count_as_wrong(bad: float, labels: Tensor) -> None:
    logits = F.one_hot(labels, K).float()
    logits[1, 2, labels[1, 2]] = bad
    logits[2] = bad
    assert replica_accuracies(logits, labels).tolist() == pytest.approx([1.0, 1 - 1 / B, 0.0])


def test_nan_is_wrong_even_where_argmax_would_be_right() -> None:
    logits = torch.full((1, 4, K), float("nan"))
    labels = logits.argmax(dim=2)
    assert replica_accuracies(logits, labels).tolist() == [0.0]
