"""The doctor on one network per fault and on its cure, and what it must leave as it was."""

from __future__ import annotations

import gc
import importlib.util
import json
import random
import sys
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate import diagnose, watch
from vgtemplate.doctor import examine
from vgtemplate.doctor.examine import CODES
from vgtemplate.doctor.report import Report


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"doctor_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ill = _load("ill")


def report_of(make: Any) -> Report:
    torch.manual_seed(0)
    training = make()
    return diagnose(training.model, training.batches, training.loss, training.optimizer, training.steps)


@pytest.mark.parametrize("name", ill.FAULTS)
def test_fault_has_its_code_first_and_its_cure_has_none(name: str) -> None:
    make, cured = ill.FAULTS[name]
    report = report_of(make)
    assert report.codes[0] == name.split()[0], str(report)
    found = report.findings[0]
    assert all((found.where, found.evidence, found.cause, found.cure))
    healthy = report_of(cured)
    assert healthy.is_healthy, str(healthy)


def test_every_code_has_a_network() -> None:
    assert {name.split()[0] for name in ill.FAULTS} | {"stale-gradients"} == set(CODES)


def train(steps: int, model: nn.Module, optimizer: Any, batches: Any, clears: bool = True) -> None:
    for step in range(steps):
        x, y = batches[step % len(batches)]
        if clears:
            optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("clears", [True, False])
def test_gradients_that_nobody_clears(clears: bool) -> None:
    torch.manual_seed(0)
    model = ill.stack(16, 2, nn.ReLU)
    optimizer = ill.adam(model)
    with watch(model, optimizer) as report:
        train(12, model, optimizer, ill.classes(), clears)
    assert report.codes == ([] if clears else ["stale-gradients"])


def test_accumulated_gradients_are_not_stale() -> None:
    torch.manual_seed(0)
    model = ill.stack(16, 2, nn.ReLU)
    optimizer = ill.adam(model)
    batches = ill.classes()
    with watch(model, optimizer) as report:
        for step in range(10):
            optimizer.zero_grad()
            for part in range(4):
                x, y = batches[(4 * step + part) % len(batches)]
                (F.cross_entropy(model(x), y) / 4).backward()
            optimizer.step()
    assert report.codes == []


class Noisy(nn.Module):
    """Draws random numbers of all three kinds in its forward pass, and has running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Dropout(0.3), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * (1 + 0.01 * random.random() + 0.01 * float(np.random.rand()))


def seeded() -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)


def test_watched_training_ends_bit_for_bit_as_one_that_is_not() -> None:
    finals = []
    for is_watched in (False, True):
        seeded()
        model = Noisy()
        optimizer = ill.adam(model)
        if is_watched:
            with watch(model, optimizer) as report:
                train(25, model, optimizer, ill.classes())
            assert report.steps == [0, 1, 2, 3, 4, 9, 19]
        else:
            train(25, model, optimizer, ill.classes())
        finals.append((model.state_dict(), random.random(), np.random.rand(), torch.rand(1)))
    for one, other in zip(finals[0][0].values(), finals[1][0].values(), strict=True):
        assert torch.equal(one, other)
    assert finals[0][1:] == finals[1][1:]


def test_diagnose_puts_everything_back() -> None:
    seeded()
    model = Noisy()
    optimizer = ill.adam(model)
    train(3, model, optimizer, ill.classes())
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    gradients = [each.grad.clone() for each in model.parameters() if each.grad is not None]
    state = json.dumps(optimizer.state_dict(), default=lambda value: value.tolist())
    chance = random.getstate(), torch.get_rng_state()
    diagnose(model, ill.classes(), ill.entropy, optimizer, steps=5)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(one.grad, other) for one, other in zip(model.parameters(), gradients, strict=True))
    assert json.dumps(optimizer.state_dict(), default=lambda value: value.tolist()) == state
    assert random.getstate() == chance[0]
    assert torch.equal(torch.get_rng_state(), chance[1])


class Held(nn.Module):
    """Holds its frozen part in evaluation mode, whenever it is put into training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU()).requires_grad_(False)
        self.head = nn.Linear(32, 4)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.base(x))


def test_networks_own_way_into_training_mode_is_taken_and_taken_back() -> None:
    torch.manual_seed(0)
    model = Held()
    report = diagnose(model, ill.classes(), ill.entropy, torch.optim.Adam(model.head.parameters(), 3e-3), steps=10)
    assert report.codes == []
    assert model.base.training


def test_no_activation_is_kept_past_its_step() -> None:
    model = ill.stack(16, 2, nn.ReLU)
    optimizer = ill.adam(model)
    alive: list[Any] = []

    def loss(model: nn.Module, batch: Any) -> Tensor:
        z = model(batch[0])
        alive.append(weakref.ref(z))
        return F.cross_entropy(z, batch[1])

    diagnose(model, ill.classes(), loss, optimizer, steps=6)
    gc.collect()
    assert [each for each in alive if each() is not None] == []


def test_without_an_optimiser_nothing_moves_and_no_step_is_judged() -> None:
    torch.manual_seed(0)
    report = diagnose(ill.stack(16, 2, nn.ReLU), ill.classes(), ill.entropy, steps=10)
    assert report.codes == []
    assert len(report.steps) == 10


def test_rule_that_fails_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(evidence: Any) -> Any:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(examine, "_FAMILIES", (broken,))
    report = report_of(ill.FAULTS["dead-units"][1])
    assert report.is_healthy
    assert any("ZeroDivisionError: oh" in note for note in report.notes)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model, batch: model(batch[0]), r"it returned a tensor of shape \(64, 4\); allowed: a tensor with one"),
        (lambda model, batch: 1.0, "loss: it returned a float; allowed"),
    ],
)
def test_loss_that_is_none(loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diagnose(ill.stack(16, 1, nn.ReLU), ill.classes(), loss)


def test_no_batches_and_no_steps() -> None:
    with pytest.raises(ValueError, match="batches: there is none"):
        diagnose(ill.stack(16, 1, nn.ReLU), [], ill.entropy)
    with pytest.raises(ValueError, match="steps: 0"):
        diagnose(ill.stack(16, 1, nn.ReLU), ill.classes(), ill.entropy, steps=0)


def test_report_is_text_and_json() -> None:
    report = report_of(ill.FAULTS["nan-forward"][0])
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["healthy"] is False
    assert content["findings"][0]["code"] == "nan-forward"
    assert "ill.py:" in str(report)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "codes"), [(nn.Sigmoid, ["vanishing-depth"]), (nn.ReLU, [])])
def test_gradients_of_the_weights_tell_where_a_compiled_network_hides_what_flows(
    activation: type[nn.Module], codes: list[str]
) -> None:
    torch.manual_seed(0)
    model = torch.compile(ill.stack(32, 10, activation), backend="eager")
    report = diagnose(model, ill.classes(), ill.entropy, torch.optim.Adam(model.parameters(), 1e-3), 20)
    assert report.codes == codes, str(report)
    assert "what flows inside a compiled network is not seen; its weights are" in report.notes
