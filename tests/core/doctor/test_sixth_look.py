"""What the doctor learned around its first look at the sixth zoo; each on its own network, beside its cure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.doctor.test_diagnose import ill
from vgtemplate import diagnose, watch

MISMATCH = "loss-head-mismatch"


def codes(model: nn.Module, loss: Any, batches: Any, optimizer: Any, steps: int = 40) -> list[str]:
    return diagnose(model, batches, loss, optimizer, steps).codes


def net(*last: nn.Module, outputs: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*ill.stack(24, 1, nn.Tanh, outputs=outputs), *last)


class Cosines(nn.Module):
    """Logits are cosines with a vector per class, as they are or times 10."""

    def __init__(self, scale: float | None) -> None:
        super().__init__()
        self.body, self.scale = net(outputs=8), scale
        self.classes = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        cosines = F.normalize(self.body(x), dim=1) @ F.normalize(self.classes, dim=1).T
        return cosines if self.scale is None else cosines * self.scale


@pytest.mark.parametrize("scale", [None, 10.0])
def test_cosines_need_a_scale_before_a_softmax(scale: float | None) -> None:
    model = Cosines(scale)
    assert codes(model, ill.entropy, ill.classes(), ill.adam(model)) == [MISMATCH] * (scale is None)


def binary(model: nn.Module, batch: Any) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), F.one_hot(batch[1], 4).float())


@pytest.mark.parametrize("last", [nn.LogSoftmax(1), nn.Tanh(), nn.Identity()])
def test_binary_cross_entropy_takes_logits_without_bounds(last: nn.Module) -> None:
    model = net(last)
    assert codes(model, binary, ill.classes(), ill.adam(model)) == [MISMATCH] * (not isinstance(last, nn.Identity))


def test_softmax_over_one_class_is_seen_behind_the_column_that_was_taken_out() -> None:
    model = net(nn.Softmax(1), outputs=1)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy(model(batch[0])[:, 0], (batch[1] > 1).float())

    assert MISMATCH in codes(model, loss, ill.classes(), ill.adam(model))


@pytest.mark.parametrize("total", [1.0, 3.0])
def test_probabilities_as_targets_add_up_to_one(total: float) -> None:
    model = net()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), F.one_hot(batch[1], 4) * total)

    assert codes(model, loss, ill.classes(), ill.adam(model)) == [MISMATCH] * (total > 1)


class Tagger(nn.Module):
    """Four classes at each of two places, (B, 4, 2), by moving the axis or by a view that mixes it."""

    def __init__(self, moves: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.moves = nn.Linear(8, 4), moves

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x.view(-1, 2, 8))
        return found.transpose(1, 2) if self.moves else found.view(-1, 4, 2)


@pytest.mark.parametrize("moves", [True, False])
def test_view_moves_no_axis_of_a_sequence_either(moves: bool) -> None:
    model = Tagger(moves)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[0].view(-1, 2, 8)[:, :, :4].argmax(2))

    assert codes(model, loss, ill.classes(), ill.adam(model)) == [MISMATCH] * (not moves)


@pytest.mark.parametrize("one_hot", [True, False])
def test_class_number_is_no_target_for_all_outputs(one_hot: bool) -> None:
    model = net()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        target = F.one_hot(batch[1], 4) if one_hot else batch[1][:, None]
        result: Tensor = (model(batch[0]) - target.float()).square().mean()
        return result

    assert codes(model, loss, ill.classes(), ill.adam(model)) == [MISMATCH] * (not one_hot)


class Coder(nn.Module):
    """Draws each sample as the entry of a codebook that is next to its code; the entries begin here or far away."""

    def __init__(self, away: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.decode = nn.Linear(16, 2), ill.stack(24, 1, nn.ReLU, inputs=2, outputs=16)
        self.codes = nn.Parameter(torch.randn(16, 2) + away)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encode(x)
        entry = self.codes[torch.cdist(code, self.codes).argmin(1)]
        drawn: Tensor = self.decode(code + (entry - code).detach())
        return drawn, F.mse_loss(entry, code.detach()) + F.mse_loss(code, entry.detach())


@pytest.mark.parametrize("away", [6.0, 0.0])
def test_code_that_all_samples_share_is_found_though_the_loss_falls(away: float) -> None:
    model = Coder(away)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        drawn, apart = model(batch[0])
        result: Tensor = F.mse_loss(drawn, batch[0]) + apart
        return result

    assert ("signal-collapse" in codes(model, loss, ill.classes(), ill.adam(model, 1e-2), 60)) == (away > 0)


def test_outputs_are_as_alike_as_targets_that_are_nearly_one() -> None:
    """Returns of 50 and a bit: at the end the outputs differ by a hundredth of their size, as they should."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 1))
    batches = [(x, 50 + y) for x, y in ill.values()]
    found = diagnose(model, batches, ill.squared, ill.adam(model, 0.1), 200)
    assert "signal-collapse" not in found.codes


@pytest.mark.parametrize("rate", [1e-3, 1.0])
def test_adadelta_at_the_rate_of_adam_goes_nowhere(rate: float) -> None:
    model = net()
    optimizer = torch.optim.Adadelta(model.parameters(), rate)
    assert codes(model, ill.entropy, ill.classes(), optimizer, 60) == ["step-too-small"] * (rate < 1)


@pytest.mark.parametrize(("momentum", "is_ill"), [(0.999, True), (0.99, False)])
def test_momentum_of_a_thousand_steps_is_no_momentum(momentum: float, is_ill: bool) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=momentum)
    assert ("oscillation" in codes(model, ill.entropy, ill.classes(), optimizer)) == is_ill


@pytest.mark.parametrize("betas", [(0.999, 0.9), (0.9, 0.999), (0.0, 0.9), (0.95, 0.95)])
def test_betas_the_wrong_way_round(betas: tuple[float, float]) -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, betas=betas)
    assert codes(model, ill.entropy, ill.classes(), optimizer) == ["oscillation"] * (betas == (0.999, 0.9))


@pytest.mark.parametrize(("function", "code"), [("zero", "precision-underflow"), ("large", "precision-overflow")])
def test_zero_of_float16_is_told_from_what_is_too_large_for_it(function: str, code: str) -> None:
    """1e-8 is zero in float16 and its logarithm infinite; 1 / 1e-5 is a number that float16 does not reach."""
    model = net()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        chances = F.softmax(model(batch[0]), 1)[torch.arange(64), batch[1]].half()
        if function == "zero":
            return -torch.log(chances * 0 + torch.tensor(1e-8).half() + chances * 1e-9).float().mean()
        return (1 / (chances * 1e-5)).float().mean()

    assert codes(model, loss, ill.classes(), ill.adam(model))[:1] == [code]


@pytest.mark.parametrize("is_on", [True, False])
def test_scaler_that_is_off_scales_nothing(is_on: bool) -> None:
    model = net()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, enabled=is_on)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            logits = model(batch[0])
        return F.cross_entropy(logits.float(), batch[1]) * 1e-6

    optimizer = torch.optim.SGD(model.parameters(), 3e4)
    with watch(model, optimizer) as report:
        for batch in ill.classes() * 2:
            optimizer.zero_grad()
            scaler.scale(loss(model, batch)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert ("precision-underflow" in report.codes) == (not is_on)


class Start(nn.Module):
    """A learned initial state, handed to the cell as it is or past autograd."""

    def __init__(self, is_cut: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.out, self.is_cut = nn.GRUCell(4, 12), nn.Linear(12, 4), is_cut
        self.start = nn.Parameter(0.1 * torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        state = (self.start.data if self.is_cut else self.start).expand(len(x), 12)
        for part in x.view(-1, 4, 4).unbind(1):
            state = self.cell(part, state)
        result: Tensor = self.out(state)
        return result


@pytest.mark.parametrize("is_cut", [True, False])
def test_parameter_that_is_read_through_data_is_disconnected(is_cut: bool) -> None:
    model = Start(is_cut)
    assert codes(model, ill.entropy, ill.classes(), ill.adam(model)) == ["disconnected-parameters"] * is_cut


class Cell(nn.Module):
    """State and input in one matrix, the same over 40 steps; what the last state is made for nobody reads."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.state, self.out = nn.Linear(4 + 16, 16, bias=False), nn.Linear(4 + 16, 4)
        nn.init.orthogonal_(self.state.weight)
        with torch.no_grad():
            self.state.weight[:, 4:] = gain * torch.linalg.qr(torch.randn(16, 16))[0]

    def forward(self, x: Tensor) -> Tensor:
        state, out = x.new_zeros(len(x), 16), x
        for part in x.view(-1, 4, 4).repeat(1, 10, 1).unbind(1):
            both = torch.cat([part, state], 1)
            state, out = self.state(both), self.out(both)
        return out


@pytest.mark.parametrize("gain", [1.4, 0.9])
def test_cell_whose_last_state_nobody_reads_is_seen_through_time(gain: float) -> None:
    model = Cell(gain)
    assert ("exploding-time" in codes(model, ill.entropy, ill.classes(), ill.adam(model))) == (gain > 1)


@pytest.mark.parametrize("scale", [12.0, 1.0])
def test_flat_ends_are_seen_behind_a_scale_and_a_shift(scale: float) -> None:
    torch.manual_seed(0)
    model = nn.Linear(16, 1)
    model.weight.data *= scale * 2

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.mse_loss(1 + 4 * torch.sigmoid(model(batch[0])), 3 + 2 * batch[1])

    found = codes(model, loss, ill.values(), torch.optim.SGD(model.parameters(), 1e-3))
    assert ("saturated-output" in found) == (scale > 1)
