"""Which cures can be tried from outside for a finding: as data, so that they reach another process too."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vgtemplate.doctor.prove.domain import DOMAINS
from vgtemplate.doctor.prove.initial import BOUNDED
from vgtemplate.doctor.report import Finding, Report

_USUAL_RATIO = 1e-3
"""What a step usually moves a weight matrix by, relative to its size."""
_EDGE = re.compile(r"; (\w+)\(\) (?:has an input of exactly 0|put out)")
_CALL = re.compile(r"(\w+)\(\) at |^(\w+)$")


@dataclass(frozen=True)
class Cure:
    """One change of a training that needs no change of its code.

    Args:
        kind: which, of KINDS in apply.py or rewrites.py.
        text: what is changed, in words.
        where: names of layers, parameters or functions.
        number: a factor, a norm, a number of steps.
        layers: by layer, the activation behind it; for an initialiser.
    """

    kind: str
    text: str
    where: tuple[str, ...] = ()
    number: float = 0.0
    layers: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)


def from_dict(content: dict[str, Any]) -> Cure:
    """Return the cure that `to_dict` has made this of."""
    layers = tuple((str(name), str(kind)) for name, kind in content["layers"])
    return Cure(content["kind"], content["text"], tuple(content["where"]), float(content["number"]), layers)


def offers(finding: Finding, report: Report) -> tuple[Cure, ...] | str:
    """Return the cures to try for a finding, the first of its text first; else why none can be applied from outside."""
    if finding.code in _NOT_FROM_OUTSIDE:
        return _NOT_FROM_OUTSIDE[finding.code]
    return _OFFERS[finding.code](finding, report)


def _initialise(report: Report, text: str = "") -> Cure:
    known = tuple(report.activations.items())
    return Cure("initialise", text or "weights drawn anew: He for ReLU-like layers, Xavier for others", layers=known)


def _rectify(report: Report) -> Cure:
    layers = tuple((name, "relu") for name in report.activations)
    return Cure("rectify", "ReLU in place of each hidden sigmoid or tanh, weights drawn anew by He", layers=layers)


def _normalise(report: Report) -> Cure:
    names = tuple(name for name in report.layers if name in report.activations)
    return Cure("normalise-layers", "each hidden layer's output standardised per sample", names)


def _rate(factor: float) -> Cure:
    return Cure("rate", f"a learning rate {factor:.3g} times as large", number=factor)


_CLIP = Cure("clip", "the gradient's norm clipped at 1", number=1.0)
_WARM_UP = Cure("warm-up", "a warm-up of 20 steps", number=20)


def _by_depth(finding: Finding, report: Report) -> tuple[Cure, ...]:
    bounded = set(report.activations.values()) & BOUNDED.keys()
    return _initialise(report), *((_rectify(report),) if bounded else ()), _normalise(report)


def _exploding(finding: Finding, report: Report) -> tuple[Cure, ...]:
    return _initialise(report), _normalise(report), _CLIP


def _larger_rate(finding: Finding, report: Report) -> tuple[Cure, ...]:
    ratios = report.profiles.get("update_ratio", np.empty((0, 0)))
    largest = float(np.nanmax(ratios)) if np.isfinite(ratios).any() else 0.0
    fitting = (_rate(_USUAL_RATIO / largest),) if largest > 0 else ()
    return (*fitting, _rate(1000.0))


def _dead(finding: Finding, report: Report) -> tuple[Cure, ...]:
    return (
        _rate(0.1),
        _initialise(report, "weights drawn anew, biases at zero"),
        Cure("leaky", "Leaky ReLU in place of each nn.ReLU"),
    )


def _recurrent(finding: Finding, report: Report) -> tuple[Cure, ...]:
    clip = (_CLIP,) if finding.code == "exploding-time" else ()
    return (Cure("orthogonal", "the recurrent matrix drawn orthogonal", finding.where), *clip)


def _domain(finding: Finding, report: Report) -> tuple[Cure, ...]:
    found = _EDGE.search(finding.evidence)
    named = [found.group(1)] if found else [call for each in finding.where for call in _calls(each)]
    names = tuple(name for name in named if name in DOMAINS)
    what = f"an epsilon in {', '.join(f'{name}()' for name in names)}"
    return (*((Cure("domain", what, names),) if names else ()), _rate(0.1), _CLIP)


def _calls(where: str) -> list[str]:
    return [first or second for first, second in _CALL.findall(where)]


def _overflow(finding: Finding, report: Report) -> tuple[Cure, ...]:
    return _initialise(report), _rate(0.1), _normalise(report)


def _one(kind: str, text: str) -> Callable[[Finding, Report], tuple[Cure, ...]]:
    """Return what offers one cure, at the places where the finding is."""
    return lambda finding, report: (Cure(kind, text, finding.where),)


_OFFERS: dict[str, Callable[[Finding, Report], tuple[Cure, ...]]] = {
    "loss-head-mismatch": _one("loss-head", "the loss handed what it takes: no activation too many, targets that fit"),
    "unregistered-parameters": _one("register", "the layers registered and added to the optimiser"),
    "not-in-optimizer": _one("own", "the missing parameters added to the optimiser"),
    "symmetric-initialisation": _one("redraw", "these weights drawn at random"),
    "stuck-at-zero": lambda finding, report: (
        Cure("redraw", f"{finding.where[0]} drawn at random", finding.where[:1]),
    ),
    "frozen-buffers-move": _one("evaluate", "these layers held in evaluation mode"),
    "stale-gradients": _one("clear", "gradients cleared after each step"),
    "precision-overflow": _one("bfloat16", "bfloat16 in place of float16"),
    "precision-underflow": _one("scale-loss", "the loss scaled, and the gradients scaled back"),
    "unscaled-inputs": _one("standardise-inputs", "each input feature standardised, by the first batch"),
    "unscaled-targets": _one("standardise-targets", "the targets standardised, by the first batch"),
    "batchnorm-tiny-batch": _one("group-norm", "GroupNorm in place of these layers"),
    "exploding-time": _recurrent,
    "vanishing-time": _recurrent,
    "exploding-depth": _exploding,
    "vanishing-depth": _by_depth,
    "dead-units": _dead,
    "oscillation": lambda finding, report: (_rate(1 / 3),),
    "step-too-large": lambda finding, report: (_rate(0.1), _CLIP, _WARM_UP),
    "step-too-small": _larger_rate,
    "overflow-forward": _overflow,
    "nan-forward": _domain,
    "nan-backward": _domain,
    "saturated-units": _by_depth,
    "saturated-output": lambda finding, report: (_initialise(report, "weights drawn anew, biases at zero"),),
    "signal-collapse": _by_depth,
}
_NOT_FROM_OUTSIDE = {
    "wrong-direction": "the sign stands in the training's own code",
    "disconnected-parameters": "what cuts the path stands in the network's own code",
    "graph-grows": "what is carried over is kept by the training's own code",
}
