"""Cures that are tried on copies: which are proven, which are not, and by what rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.doctor.test_diagnose import ill
from vgtemplate import diagnose
from vgtemplate.doctor.examine import CODES
from vgtemplate.doctor.prove.copies import Copy, Trial
from vgtemplate.doctor.prove.cure import _NOT_FROM_OUTSIDE, offers
from vgtemplate.doctor.prove.proof import prove
from vgtemplate.doctor.report import Finding, Report


class WithBuffers(nn.Module):
    """A frozen part whose statistics fit the data."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32, momentum=None), nn.ReLU())
        for x, _ in ill.classes():
            self.base(x)
        self.base[1].momentum = 0.1
        self.base.requires_grad_(False)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.base(x))


class Logarithm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.log(torch.relu(x)))


class Broken(nn.Module):
    """Puts out NaN whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x) * float("nan")


class ThreeFactors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(16, 4)
        self.one, self.two = nn.Parameter(torch.zeros(16, 2)), nn.Parameter(torch.zeros(2, 2))
        self.three = nn.Parameter(torch.zeros(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.one @ self.two @ self.three


class Dead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(functional.relu(-self.one(x).abs()))


def flat() -> Any:
    """An output layer that begins next to zero, beside a bias that does not: all inputs have one output."""
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    with torch.no_grad():
        model[2].weight.mul_(1e-6)
        model[2].bias.fill_(30.0)
    return ill.plain(model, optimizer=ill.sgd(model, 1e-2), steps=20)


def unscaled() -> Any:
    model = ill.stack(32, 2, nn.ReLU)
    return ill.plain(model, batches=ill.classes(scale=255.0), optimizer=ill.sgd(model, 0.1), steps=40)


def frozen() -> Any:
    model = WithBuffers()
    return ill.plain(model, optimizer=torch.optim.Adam(model.head.parameters(), 3e-3), steps=15)


def one_class() -> Any:
    batches = [(x, torch.zeros_like(y)) for x, y in ill.classes()]
    return ill.plain(ill.stack(16, 1, nn.ReLU, outputs=1), batches=batches, steps=12)


FROM_ILL = (
    *("loss-head-mismatch", "loss-head-mismatch (shapes)", "unregistered-parameters", "not-in-optimizer"),
    *("symmetric-initialisation", "stuck-at-zero", "unscaled-targets", "batchnorm-tiny-batch", "exploding-time"),
    *("vanishing-time", "vanishing-depth", "dead-units", "saturated-units", "saturated-output", "nan-backward"),
    *("overflow-forward", "precision-overflow", "precision-underflow", "step-too-large", "step-too-small"),
    "oscillation",
)
OWN: dict[str, Callable[[], Any]] = {
    "frozen-buffers-move": frozen,
    "vanishing-depth (sigmoid)": lambda: ill.plain(ill.stack(32, 12, nn.Sigmoid), steps=20),
    "unscaled-inputs": unscaled,
    "nan-forward": lambda: ill.plain(Logarithm(), steps=15),
    "signal-collapse": flat,
}
NO_CURE: dict[str, Callable[[], Any]] = {
    "nan-forward": lambda: ill.plain(Broken(), steps=12),
    "stuck-at-zero": lambda: ill.plain(ThreeFactors(), steps=12),
    "loss-head-mismatch": one_class,
    "dead-units": lambda: ill.plain(Dead(), steps=12),
}


def proven(make: Callable[[], Any]) -> Report:
    torch.manual_seed(0)
    training = make()

    def anew() -> tuple[nn.Module, torch.optim.Optimizer]:
        made = make()
        return made.model, made.optimizer

    return diagnose(training.model, training.batches, training.loss, training.optimizer, training.steps, anew)


def finding_of(report: Report, code: str) -> Finding:
    return next(each for each in report.findings if each.code == code)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FROM_ILL, *OWN])
def test_cure_that_helps_is_proven(name: str) -> None:
    report = proven(ill.FAULTS[name][0] if name in FROM_ILL else OWN[name])
    found = finding_of(report, name.split()[0])
    assert found.proof is not None
    assert found.proof.is_proven, str(report)
    assert str(found.proof).startswith("proven: cured in 5 of 5 copies by ")
    assert found.advice == "cure"


@pytest.mark.slow
@pytest.mark.parametrize("code", NO_CURE)
def test_cure_that_does_not_help_is_not_called_one(code: str) -> None:
    report = proven(NO_CURE[code])
    found = finding_of(report, code)
    assert found.proof is not None
    assert not found.proof.is_proven, str(report)
    assert "not proven: cured in 0 of 5" in str(report)
    assert "  advice: " in str(report)
    assert "  cure: " not in str(report)


def test_copies_leave_the_network_and_the_generators_alone() -> None:
    torch.manual_seed(0)
    training = ill.FAULTS["loss-head-mismatch"][0]()
    before = {name: each.clone() for name, each in training.model.state_dict().items()}
    chance, softmax = torch.get_rng_state(), torch.softmax
    report = diagnose(training.model, training.batches, training.loss, training.optimizer, 9, prove=True)
    assert report.findings[0].proof is not None
    assert report.findings[0].proof.of == 5
    assert all(torch.equal(each, before[name]) for name, each in training.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)
    assert torch.softmax is softmax
    assert training.optimizer.state_dict()["state"] == {}


def test_every_code_has_a_cure_or_a_reason() -> None:
    for code in CODES:
        offered = offers(Finding(code, ("a", "b"), 0, "", "", ""), Report())
        assert offered, code
        assert isinstance(offered, str) == (code in _NOT_FROM_OUTSIDE), code


def judged(as_is: Sequence[Trial], cured: Sequence[Trial], code: str = "oscillation") -> Finding:
    """What `prove` makes of copies that came out so."""
    report = Report(findings=[Finding(code, ("the optimiser",), 0, "", "", "less")])
    prove(report, lambda copies: list(as_is if copies[0].cure is None else cured))
    return report.findings[0]


ILL, WELL = Trial(("oscillation",), (2.0, 2.0, 2.0)), Trial((), (2.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("as_is", "cured", "count"),
    [
        ([ILL] * 5, [WELL] * 5, 5),
        ([ILL] * 5, [WELL] * 4 + [ILL], 4),
        # It has another name now: what explains it is new.
        ([ILL] * 5, [WELL] * 3 + [Trial(("stale-gradients",), (1.0,))] * 2, 3),
        # What explains nothing of it is another matter.
        ([ILL] * 5, [Trial(("dead-units",), (1.0,))] * 5, 5),
        # The loss is worse.
        ([ILL] * 5, [Trial((), (2.0, 2.5, 2.5))] * 5, 0),
        ([ILL] * 5, [Trial((), (2.0, float("nan")))] * 5, 0),
        # A copy that is not ill cannot be cured.
        ([ILL] * 3 + [WELL] * 2, [WELL] * 5, 3),
        ([ILL] * 5, [WELL] * 4 + [Trial(failure="it fell over")], 4),
    ],
)
def test_pairs_are_counted(as_is: list[Trial], cured: list[Trial], count: int) -> None:
    proof = judged(as_is, cured).proof
    assert proof is not None
    assert (proof.cured, proof.of, proof.is_proven) == (count, 5, count == 5)


def test_reasons_are_said() -> None:
    assert str(judged([WELL] * 5, []).proof) == "not proven: the finding shows in none of 5 copies as they are"
    outside = judged([ILL] * 5, [], "graph-grows").proof
    assert str(outside).startswith("cannot be applied from outside: what is carried over")
    failed = judged([ILL] * 5, [Trial(failure="there is no such layer")] * 5).proof
    assert str(failed) == "cannot be applied from outside: there is no such layer"


def test_copy_reaches_another_process_as_it_is() -> None:
    from vgtemplate.doctor.prove.copies import copy_from_dict

    report = Report(layers=["0", "2"], activations={"0": "relu"})
    (cure, *_) = offers(Finding("vanishing-depth", ("0", "2"), 0, "", "", ""), report)
    assert not isinstance(cure, str)
    copy = Copy(3, cure, (cure,))
    assert copy_from_dict(copy.to_dict()) == copy
