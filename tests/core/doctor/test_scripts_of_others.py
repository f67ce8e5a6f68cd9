"""What the doctor got wrong at scripts of others, a small network each."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vgtemplate import diagnose
from vgtemplate.doctor import script
from vgtemplate.doctor.loop import watch as doctor
from vgtemplate.doctor.report import Report


def squared(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def test_one_weight_at_its_minimum_does_not_oscillate() -> None:
    """Ordered batches pull it to and fro; PyTorch-Mini-Tutorials, 1_linear_regression.py."""
    torch.manual_seed(42)
    x = torch.linspace(-1, 1, 100)[:, None]
    y = 2 * x + 0.33 * torch.randn_like(x)
    batches = [*zip(x.split(10), y.split(10), strict=True)] * 20
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    assert diagnose(model, batches, squared, optimizer, 200).codes == []


def test_one_weight_that_jumps_across_its_valley_is_told() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1)
    model = nn.Linear(1, 1, bias=False)
    curvature = float(2 * (x**2).mean())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.999 / curvature)
    found = diagnose(model, [(x, 3 * x)] * 60, squared, optimizer, 60).codes
    assert {*found} & {"oscillation", "step-too-large"}


def straight_line() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.linspace(1, 10, 16)[:, None]
    return nn.Linear(1, 1), x, 0.3 * x + 0.5


def test_sum_of_losses_is_found_though_it_is_gone_when_the_training_ends() -> None:
    """As a function's names are, and a script's own (pytorch-tutorial, linear_regression)."""
    model, x, y = straight_line()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def train(keeps: bool) -> None:
        total = torch.zeros(())
        for _ in range(60):
            optimizer.zero_grad()
            loss = squared(model, (x, y))
            loss.backward()
            total = total + (loss if keeps else loss.detach())
            optimizer.step()

    with doctor(model, optimizer) as ill:
        train(keeps=True)
    with doctor(model, optimizer) as healthy:
        train(keeps=False)
    assert (ill.codes, healthy.codes) == (["graph-grows"], [])


def test_small_weight_hides_no_step_that_is_too_small() -> None:
    """Of a weight next to zero a step of nothing is a share; pytorch-tutorial, linear_regression at a rate of 1e-7."""
    model, x, y = straight_line()
    with torch.no_grad():
        model.weight.fill_(0.005)  # type: ignore[union-attr, operator]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    assert diagnose(model, [(x, y)] * 60, squared, optimizer, 60).codes == ["step-too-small"]


@pytest.mark.parametrize("first", ["Sigmoid", "ReLU", "Identity"])
def test_what_bounds_the_logits_of_a_sigmoid_is_found(first: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), getattr(nn, first)(), nn.Sigmoid())
    x = torch.randn(64, 4)
    y = (x.sum(1, keepdim=True) > 0).float()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    found = diagnose(
        model, [(x, y)] * 40, lambda m, batch: F.binary_cross_entropy(m(batch[0]), batch[1]), optimizer, 40
    )
    assert found.codes == ([] if first == "Identity" else ["loss-head-mismatch"])


def test_output_that_is_sure_from_the_start_is_found_in_a_watched_loop() -> None:
    """Steps that are looked at briefly have a loss and nothing else; PyTorchZeroToAll, 06, its logit a hundredfold."""
    torch.manual_seed(0)
    x, y = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(0.9), model.bias.fill_(0.5)  # type: ignore[union-attr, operator]
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with doctor(model, optimizer) as report:
        for _ in range(60):
            optimizer.zero_grad()
            F.binary_cross_entropy(torch.sigmoid(100 * model(x)), y).backward()
            optimizer.step()
    assert report.codes == ["saturated-output"]


COPIED = """
import copy
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
model = copy.deepcopy(model)
for _ in range(30):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
"""
IMAGE = """
network = torch.nn.Sequential(*[layer for _ in range(12) for layer in (torch.nn.Linear(8, 8), torch.nn.ReLU())])
image = torch.randn(1, 8, requires_grad=True)
optimizer = torch.optim.SGD([image], 0.01)
for _ in range(30):
    optimizer.zero_grad()
    network(image).square().mean().backward()
    optimizer.step()
"""


def watched(code: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Report, int]:
    """Return what the watch of a script says of code, and how often it looked through the memory for a network."""
    looks: list[None] = []
    find = script.find_network
    monkeypatch.setattr(script, "find_network", lambda *given: looks.append(None) or find(*given))
    told: list[Report] = []
    watch = script.ScriptWatch(200, told.append)
    watch.start()
    try:
        torch.manual_seed(0)
        exec(compile(code, "theirs.py", "exec"), {"torch": torch, "__name__": "theirs"})
    finally:
        watch.end()
    return told[0], len(looks)


def test_optimiser_of_a_copy_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    report, looks = watched(COPIED, monkeypatch)
    assert report.codes[:1] == ["not-in-optimizer"]
    assert looks < 10


def test_image_that_is_moved_alone_is_no_copy_and_is_not_looked_for_at_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report, looks = watched(IMAGE, monkeypatch)
    assert (report.codes, report.steps) == ([], [])
    assert looks < 15


def test_steps_after_the_watch_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Report] = []
    watch = script.ScriptWatch(2, told.append)
    watch.start()
    try:
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for step in range(20):
            if told:
                monkeypatch.setattr(script, "moved_by", lambda optimizer: pytest.fail("it was looked at"))
            assert bool(told) == (step >= 2)
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
    finally:
        watch.end()
