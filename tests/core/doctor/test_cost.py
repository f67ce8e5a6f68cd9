"""What a look costs, in calls of torch and in transfers, and that what is told by a few entries holds for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vgtemplate import watch
from vgtemplate.doctor import loop as doctor_loop
from vgtemplate.doctor import observer as doctor_observer
from vgtemplate.doctor.evidence import Evidence, LayerStep, ParameterStep, Step
from vgtemplate.doctor.ledger import Ledger
from vgtemplate.doctor.observer import Observer
from vgtemplate.doctor.signals import Signals
from vgtemplate.watching import tally
from vgtemplate.watching.lens import Seen
from vgtemplate.watching.loop import Loop

WIDTH, LAYERS, CLASSES = 32, 7, 4


class Counting(TorchDispatchMode):
    """Counts what reaches torch's dispatcher, ours and the training's."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


class Kept:
    """What is kept until the step ends."""

    def __init__(self) -> None:
        self.tensors: list[tuple[Tensor, Callable[[Any], None]]] = []

    def __call__(self, tensor: Tensor, into: Callable[[Any], None]) -> None:
        self.tensors.append((tensor, into))

    def land(self) -> None:
        for tensor, into in self.tensors:
            into(tensor.double().numpy())


def dense() -> nn.Module:
    hidden = [each for _ in range(LAYERS - 1) for each in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES))


def batch(size: int = 64) -> tuple[Tensor, Tensor]:
    return torch.randn(size, WIDTH), torch.randint(CLASSES, (size,))


def step(model: nn.Module, optimizer: Any, call: Callable[[Tensor], Tensor] | None = None) -> None:
    x, y = batch()
    optimizer.zero_grad()
    F.cross_entropy((call or model)(x), y).backward()
    optimizer.step()


def calls(model: nn.Module, optimizer: Any) -> int:
    counting = Counting()  # type: ignore[no-untyped-call]
    with counting:
        step(model, optimizer)
    return counting.count


@contextmanager
def evidence_of(model: nn.Module, optimizer: Any, is_due: Callable[[int], bool | str]) -> Iterator[Evidence]:
    observer = Observer(model)
    loop = Loop(observer, [optimizer], is_due, stays=True)
    loop.start()
    try:
        yield observer.evidence
    finally:
        loop.stop()
        observer.conclude()


def test_look_has_few_calls_whatever_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = dense()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    plain = [calls(model, optimizer) for _ in range(3)][-1]
    with watch(model, optimizer, every=1):
        full = [calls(model, optimizer) for _ in range(4)][-1]
    monkeypatch.setattr(doctor_loop, "is_due", lambda step: True if step < 2 else "briefly")
    with watch(model, optimizer):
        brief = [calls(model, optimizer) for _ in range(5)][-1]
    assert full - plain < 70 * LAYERS
    assert brief - plain < 8 * LAYERS


def test_all_of_a_look_comes_to_the_host_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    transfers: list[int] = []
    original = tally.to_host

    def counted(tensors: Any) -> Any:
        transfers.append(1)
        return original(tensors)

    for module in (tally, doctor_observer):
        monkeypatch.setattr(module, "to_host", counted)
    model = dense()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1) as report:
        for _ in range(3):
            step(model, optimizer)
        assert len(transfers) == 3
    assert len(report.steps) == 3


@pytest.mark.parametrize("shape", [(50, 20), (300, 40), (30, 8, 6, 6), (3000, 2000), (5, 1)])
def test_size_and_spread_are_told_by_a_few_entries(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    values = 3 + torch.randn(shape)
    kept = Kept()
    signals, note = Signals(kept), LayerStep()
    signals.begin()
    signals.note("layer", note, Seen(values, False, None, None))
    signals.measure()
    kept.land()
    flat = values.flatten(1).double()
    rms = float(flat.square().mean().sqrt())
    spread = float(flat.var(0, unbiased=False).mean().sqrt()) / rms
    tolerance = 1e-5 if len(values) <= 64 and flat.shape[1] < 128 else 0.1
    assert note.signal == pytest.approx(rms, rel=tolerance)
    assert note.spread == pytest.approx(spread, rel=tolerance)


def test_samples_that_are_alike_have_no_spread_however_large_they_are() -> None:
    kept = Kept()
    signals, notes = Signals(kept), [LayerStep(), LayerStep()]
    signals.begin()
    values = torch.full((40, 30), 1e3)
    signals.note("same", notes[0], Seen(values, False, None, None))
    signals.note("close", notes[1], Seen(values + torch.arange(40.0)[:, None] * 1e-3, False, None, None))
    signals.measure()
    kept.land()
    assert notes[0].spread == 0.0
    assert notes[1].spread == pytest.approx(1e-6 * math.sqrt((40**2 - 1) / 12), rel=0.02)


@pytest.mark.parametrize(
    ("weight", "gradient", "is_zero", "is_finite"),
    [
        (0.0, 1.0, True, True),
        (0.0, 1e-30, True, True),
        (1e-30, 1.0, False, True),
        (math.nan, math.nan, False, False),
        (math.inf, 1.0, False, False),
    ],
)
def test_norm_of_weights_is_zero_only_if_all_are(
    weight: float, gradient: float, is_zero: bool, is_finite: bool
) -> None:
    parameter = nn.Parameter(torch.full((64, 64), weight))
    parameter.grad = torch.full((64, 64), gradient)
    kept = Kept()
    ledger = Ledger({parameter: "weight"}, kept)
    taken = Step(0)
    with torch.no_grad():
        ledger.before_step(taken, [parameter], 1.0)
    kept.land()
    note: ParameterStep = taken.parameters["weight"]
    assert (note.weight_norm == 0) == is_zero
    assert math.isfinite(note.weight_norm) == is_finite
    assert note.gradient_norm > 0 or not math.isfinite(gradient)
    assert len(note.before) == len(note.gradient) == 256


def test_weight_that_is_zero_where_nobody_looks_is_no_zero() -> None:
    parameter = nn.Parameter(torch.zeros(64, 64))
    parameter.data[0, 1] = 1.0
    parameter.grad = torch.ones(64, 64)
    kept = Kept()
    ledger = Ledger({parameter: "weight"}, kept)
    taken = Step(0)
    with torch.no_grad():
        ledger.before_step(taken, [parameter], 1.0)
    kept.land()
    assert not taken.parameters["weight"].before.any()
    assert taken.parameters["weight"].weight_norm == 1.0


def test_brief_look_at_a_network_that_is_called_in_another_way_is_left_out() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"one": dense(), "other": dense()})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    ways = ["one", "one", "one", "other", "one", "other", "one"]
    with evidence_of(model, optimizer, lambda number: True if number < 2 or number == 5 else "briefly") as evidence:
        for way in ways:
            step(model, optimizer, model[way])
    assert [each.number for each in evidence.steps] == [0, 1, 5]
    assert [each.number for each in evidence.between] == [2, 4, 6]
    assert np.isfinite(evidence.losses()).all()


def test_spread_of_a_layer_that_is_called_often_is_that_of_its_middle() -> None:
    torch.manual_seed(0)
    kept = Kept()
    signals, note = Signals(kept), LayerStep()
    signals.begin()
    for place in range(100):
        values = torch.ones(20, 30) + (torch.randn(20, 30) if 20 < place < 50 else 0)
        signals.note("cell", note, Seen(values, False, None, None))
    signals.measure()
    assert kept.tensors[0][0].numel() == 3 * 8
    kept.land()
    assert note.spread > 0.5
    assert note.signal == pytest.approx(1.0)
