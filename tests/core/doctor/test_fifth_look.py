"""What the doctor missed, and where it cried wolf, at its first look at the fifth zoo; each on its own network."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.doctor.test_diagnose import ill
from vgtemplate import diagnose


def codes(model: nn.Module, loss: Any, batches: Any, optimizer: Any, steps: int = 40) -> list[str]:
    return diagnose(model, batches, loss, optimizer, steps).codes


class Block(nn.Module):
    """Moves points by what it knows of them, as a graph network that respects turns does."""

    def __init__(self) -> None:
        super().__init__()
        self.know, self.move = nn.Linear(17, 16), nn.Linear(16, 1)

    def forward(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.know(torch.cat([h, x], 1)))
        return h, x + self.move(h)


class Points(nn.Module):
    """Three blocks; where the last one moves the points to is not asked, or is asked without gradients."""

    def __init__(self, reads: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.out, self.reads = nn.ModuleList(Block() for _ in range(3)), nn.Linear(16, 4), reads

    def forward(self, h: Tensor) -> Tensor:
        x = h[:, :1]
        for index, block in enumerate(self.blocks):
            if self.reads == "cut" and index == 1:
                x = x.detach()
            h, x = block(h, x)
        result: Tensor = self.out(h)
        return result


@pytest.mark.parametrize("reads", ["whole", "cut"])
def test_what_a_last_block_puts_out_for_the_next_one_is_no_cut(reads: str) -> None:
    model = Points(reads)
    assert codes(model, ill.entropy, ill.classes(), ill.adam(model, 3e-3)) == ["disconnected-parameters"] * (
        reads == "cut"
    )


class Mixture(nn.Module):
    """The mean of experts; copies of one, or drawn one by one."""

    def __init__(self, copies: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        made = [ill.stack(8, 1, nn.Tanh) for _ in range(4)]
        self.experts = nn.ModuleList([copy.deepcopy(made[0]) for _ in made] if copies else made)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([expert(x) for expert in self.experts]).mean(0)


@pytest.mark.parametrize("copies", [True, False])
def test_experts_that_are_copies_stay_one(copies: bool) -> None:
    model = Mixture(copies)
    found = codes(model, ill.entropy, ill.classes(), ill.adam(model, 3e-3))
    assert found == ["symmetric-initialisation"] * copies


def test_copies_one_behind_the_other_do_not_stay_alike() -> None:
    """As `nn.TransformerEncoder` makes its layers."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(16, 16), nn.Tanh())
    model = nn.Sequential(*(copy.deepcopy(layer) for _ in range(3)), nn.Linear(16, 4))
    assert codes(model, ill.entropy, ill.classes(), ill.adam(model, 3e-3)) == []


class Tagger(nn.Module):
    """A class for each of eight places, by a convolution: (B, C, T)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv1d(2, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x.view(-1, 2, 8))
        return result


def tags() -> list[Any]:
    return [
        (x, (x.view(-1, 2, 8)[:, 0] > 0).long() + 2 * (x.view(-1, 2, 8)[:, 1] > 0).long()) for x, _ in ill.classes()
    ]


@pytest.mark.parametrize("moves", [True, False])
def test_channels_are_not_classes_by_view(moves: bool) -> None:
    model = Tagger()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch[0])
        return F.cross_entropy((out.transpose(1, 2) if moves else out).reshape(-1, 4), batch[1].flatten())

    assert codes(model, loss, tags(), ill.adam(model, 1e-2)) == ["loss-head-mismatch"] * (not moves)


@pytest.mark.parametrize("takes", [(1, -1), (1, 0)])
def test_pairs_are_alike_or_not_by_sign(takes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = ill.stack(16, 1, nn.Tanh)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        is_alike = batch[1] == batch[1].roll(1)
        target = torch.where(is_alike, *map(torch.tensor, takes))
        return F.cosine_embedding_loss(model(batch[0]), model(batch[0].roll(1, 0)), target, margin=0.2)

    found = codes(model, loss, ill.classes(), ill.adam(model, 1e-2))
    assert ("loss-head-mismatch" in found) == (takes == (1, 0))


class Scaled(nn.Module):
    """Inputs times a weight of their own, which some function makes of a parameter."""

    def __init__(self, function: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        start = 0.1 if function == "started" else 0.0
        self.factor, self.function = nn.Parameter(torch.full((16,), start)), function
        self.net = ill.stack(16, 1, nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        if self.function == "values":
            return self.net(x * torch.tensor([float(each.exp()) for each in self.factor]))
        if self.function == "relu":
            return self.net(x) + 0.1 * F.relu(self.factor[:1]) * x[:, :4]
        return self.net(x) + 0.1 * self.factor[:4] ** 2 * x[:, :4]


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("square", ["stuck-at-zero"]),
        ("relu", ["stuck-at-zero"]),
        ("started", []),
        ("values", ["disconnected-parameters"]),
    ],
)
def test_one_parameter_that_no_gradient_moves(function: str, found: list[str]) -> None:
    model = Scaled(function)
    assert codes(model, ill.entropy, ill.classes(), ill.adam(model, 3e-3)) == found


class Placed(nn.Module):
    """Adds what it knows of places; a parameter, or only a view of one."""

    def __init__(self, is_view: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        place = nn.Parameter(0.1 * torch.randn(16))
        self.place = place.unsqueeze(0) if is_view else place
        self.net = ill.stack(16, 1, nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x + self.place)
        return result


@pytest.mark.parametrize("is_view", [True, False])
def test_view_of_a_parameter_is_none(is_view: bool) -> None:
    model = Placed(is_view)
    report = diagnose(model, ill.classes(), ill.entropy, ill.adam(model, 3e-3), 20)
    assert report.codes == ["unregistered-parameters"] * is_view
    assert [each.where for each in report.findings] == [("place",)] * is_view


@pytest.mark.parametrize("scale", [2e-3, 1.0])
def test_inputs_may_be_divided_twice(scale: float) -> None:
    torch.manual_seed(0)
    model = ill.stack(24, 2, nn.ReLU)
    found = codes(model, ill.entropy, ill.classes(scale=scale), torch.optim.SGD(model.parameters(), 0.05))
    assert ("unscaled-inputs" in found) == (scale < 1)


@pytest.mark.parametrize("gain", [1.0, 5 / 3 / 8])
def test_units_that_are_flat_from_the_start_are_told_though_the_last_layer_learns(gain: float) -> None:
    """Weights by torch.randn, as a first lesson has them: four of five outputs of tanh are at its ends."""
    torch.manual_seed(0)
    model = ill.stack(64, 5, nn.Tanh, outputs=1)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, gain)
    found = codes(model, ill.squared, ill.values(), torch.optim.SGD(model.parameters(), 0.01))
    assert ("saturated-units" in found) == (gain == 1.0)


@pytest.mark.parametrize("rate", [3e-6, 3e-3])
def test_small_steps_that_all_lead_one_way_are_too_small(rate: float) -> None:
    torch.manual_seed(0)
    model = ill.stack(24, 2, nn.Tanh)
    assert codes(model, ill.entropy, ill.classes(), ill.adam(model, rate), 60) == ["step-too-small"] * (rate < 1e-3)


class SumOfAll(nn.Module):
    """Each layer is handed the sum of all before it, or their mean."""

    def __init__(self, is_mean: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.entry, self.out, self.is_mean = nn.Linear(16, 32), nn.Linear(32, 1), is_mean
        self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(15)])
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.entry(x)]
        for layer in self.layers:
            total = torch.stack(kept).sum(0)
            kept.append(F.relu(layer(total / len(kept) if self.is_mean else total)))
        result: Tensor = self.out(kept[-1])
        return result


@pytest.mark.parametrize("is_mean", [True, False])
def test_explosion_that_training_undoes_is_told_where_the_loss_begins_far_off(is_mean: bool) -> None:
    model = SumOfAll(is_mean)
    found = codes(model, ill.squared, ill.values(), ill.adam(model, 2e-3))
    assert ("exploding-depth" in found) == (not is_mean)


def test_loss_that_comes_up_again_swings() -> None:
    """Least squares with a momentum next to one: as a pendulum, they are back at their start after 40 steps."""
    torch.manual_seed(0)
    model = nn.Linear(16, 1)
    (x, _), *_ = ill.values(batch=512)
    rule = torch.randn(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.0031, momentum=0.9999)
    assert codes(model, ill.squared, [(x, x @ rule)], optimizer, 40) == ["oscillation"]


def test_gradients_that_point_to_and_fro_at_the_end_of_learning_are_no_fault() -> None:
    torch.manual_seed(0)
    model = ill.stack(24, 2, nn.Tanh, outputs=1)
    optimizer = torch.optim.RMSprop(model.parameters(), 3e-3)
    assert codes(model, ill.squared, ill.values(batch=512), optimizer, 200) == []


@pytest.mark.parametrize("side", [1, 12])
def test_two_large_pictures_have_statistics_that_two_numbers_have_not(side: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(2, 1, side, side, generator=generator) for _ in range(40)]
    loss = lambda m, b: F.mse_loss(m(b), b.abs())  # noqa: E731 - as a user writes it
    assert codes(model, loss, batches, ill.adam(model, 1e-2)) == ["batchnorm-tiny-batch"] * (side == 1)
