"""What the doctor missed when it first saw the fourth zoo, and scripts of others; each mended, on its own network."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tests.core.doctor.test_diagnose import ill
from vgtemplate import diagnose, watch


def net(*last: nn.Module, outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*ill.stack(24, 2, nn.ReLU, outputs=outputs), *last)


def codes(model: nn.Module, loss: Any, steps: int = 20, rate: float = 3e-3, optimizer: Any = None) -> list[str]:
    torch.manual_seed(0)
    return diagnose(model, ill.classes(), loss, optimizer or ill.adam(model, rate), steps).codes


@pytest.mark.parametrize("is_ill", [True, False])
def test_sigmoids_of_two_kinds_of_samples_that_are_joined(is_ill: bool) -> None:
    model = net(*([nn.Sigmoid()] * is_ill))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        yes = model(batch[0][batch[1] > 1])[:, 0]
        no = model(batch[0][batch[1] <= 1])[:, 0]
        targets = torch.cat([torch.ones_like(yes), torch.zeros_like(no)])
        return F.binary_cross_entropy_with_logits(torch.cat([yes, no]), targets)

    assert codes(model, loss) == ["loss-head-mismatch"] * is_ill


@pytest.mark.parametrize("is_ill", [True, False])
def test_one_of_two_losses_in_a_line(is_ill: bool) -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        out, yes = model(batch[0]), (batch[1] > 1).float()
        lost, other = F.binary_cross_entropy_with_logits, out[:, 1].sigmoid() if is_ill else out[:, 1]
        return lost(out[:, 0], yes) + lost(other, yes)

    assert codes(net(outputs=2), loss) == ["loss-head-mismatch"] * is_ill


@pytest.mark.parametrize("kind", ["several labels", "one label"])
def test_softmax_gives_one_label_to_a_sample(kind: str) -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        one = F.one_hot(batch[1], 4).float()
        return F.binary_cross_entropy(model(batch[0]).softmax(1), one if kind == "one label" else 1 - one)

    assert ("loss-head-mismatch" in codes(net(outputs=4), loss)) == (kind == "several labels")


@pytest.mark.parametrize("is_ill", [True, False])
def test_outputs_that_are_sums_are_compared_in_their_shape(is_ill: bool) -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        target = batch[0][:, :1] if is_ill else batch[0][:, 0]
        return F.mse_loss(model(batch[0]).sum(dim=(1,)), target)

    assert ("loss-head-mismatch" in codes(net(outputs=3), loss)) == is_ill


def test_loss_that_is_made_anew_reaches_nothing() -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        return torch.tensor(F.cross_entropy(model(batch[0]), batch[1]).item(), requires_grad=True)

    assert codes(net(outputs=4), loss) == ["disconnected-parameters"]


@pytest.mark.parametrize("is_ill", [True, False])
def test_loss_is_judged_by_its_own_value_however_it_is_scaled(is_ill: bool) -> None:
    """A millionth of the loss is far below that of any constant prediction; Adam does not mind, plain descent does."""
    model = net(outputs=4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1) if is_ill else ill.adam(model, 3e-3)
    found = codes(model, lambda m, b: 1e-6 * F.cross_entropy(m(b[0]), b[1]), 40, optimizer=optimizer)
    assert found == ["step-too-small"] * is_ill


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_network_that_learns_does_so_by_any_reduction(reduction: str) -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], reduction=reduction).sum()

    assert codes(net(outputs=4), loss, 40) == []


@pytest.mark.parametrize(("name", "is_ill"), [("constant", True), ("warm-up", False)])
def test_way_that_leads_nowhere_is_no_warm_up(name: str, is_ill: bool) -> None:
    model = net(outputs=4)
    optimizer = ill.adam(model, 1e-6 if is_ill else 1e-5)
    schedule = LambdaLR(optimizer, lambda step: 1.0 if is_ill else (step + 1) / 1000)
    with watch(model, optimizer) as report:
        for inputs, labels in islice(cycle(ill.classes()), 60):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            schedule.step()
    assert report.codes == ["step-too-small"] * is_ill


def test_batch_without_a_target_is_no_step_that_was_too_large() -> None:
    model = net(outputs=4)
    with torch.no_grad():
        model[-1].weight.mul_(0.02)  # so that the first steps are large beside it
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer) as report:
        for step, (inputs, labels) in enumerate(islice(cycle(ill.classes()), 40)):
            labels = torch.full_like(labels, -100) if step == 7 else labels
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            if step != 7:
                loss.backward()
            optimizer.step()
    assert "step-too-large" not in report.codes


class Reader(nn.Module):
    """A cell that is called at each place; the samples begin alike, and end in padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.word, self.cell, self.head = nn.Embedding(12, 16), nn.Linear(16, 16), nn.Linear(16, 12)

    def forward(self, x: Tensor) -> Tensor:
        words, found = self.word(x), []
        for place in range(x.shape[1]):
            found.append(self.head(torch.sigmoid(self.cell(words[:, place]))))
        return torch.stack(found, 1)


def test_samples_that_are_alike_at_some_places_have_not_collapsed() -> None:
    torch.manual_seed(0)
    words = torch.randint(1, 12, (256, 6))
    words[:, 0] = words[:, -1] = 0
    model = Reader()
    batches = [(words[at : at + 32],) for at in range(0, 256, 32)] * 4

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0])[:, :-1].flatten(0, 1), batch[0][:, 1:].flatten())

    assert "signal-collapse" not in diagnose(model, batches, loss, ill.adam(model, 1e-4), 30).codes


class Bayesian(nn.Module):
    """A weight that is drawn anew in each pass, about a mean, with a deviation that begins alike everywhere."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(0.3 * torch.randn(outputs, inputs))
        self.rho = nn.Parameter(torch.full((outputs, inputs), -4.0))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mean + F.softplus(self.rho) * torch.randn_like(self.mean))


def test_deviations_may_begin_with_one_value() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Bayesian(16, 24), nn.ReLU(), Bayesian(24, 4))
    assert codes(model, ill.entropy, 40, 1e-2) == []


class Padded(nn.Module):
    """Attention over sequences of which one may be padding alone; the NaN of that row is hidden from the loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.attention = nn.Linear(4, 16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (4, 4))
        h = self.embed(x)
        h, _ = self.attention(h, h, h, key_padding_mask=x.abs().sum(-1) == 0)
        return self.head(h.nan_to_num().mean(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("is_ill", [True, False])
def test_row_that_is_masked_whole_is_found_where_it_is_masked(is_ill: bool) -> None:
    batches = [(inputs.clone(), labels) for inputs, labels in ill.classes()]
    for inputs, _ in batches:
        inputs[3, 0 if is_ill else 4 :] = 0
    model = Padded()
    report = diagnose(model, batches, ill.entropy, ill.adam(model, 1e-3), 20)
    assert report.codes[:1] == ["nan-forward"] * is_ill
    assert not is_ill or "attention" in report.findings[0].where
