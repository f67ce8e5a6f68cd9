"""The plugin for pytest: `def test_gradients(healthy): healthy(make_model(), make_batches())`.

It is loaded whenever pytest starts where the package is installed, so torch is loaded by the fixture alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest


@pytest.fixture
def healthy() -> Callable[..., Any]:
    """Train a network for some steps, and let the test fail where the doctor finds anything wrong with it."""
    return _check


def _check(
    model: Any,
    batches: Iterable[Any],
    loss: Any = None,
    optimizer: Any = None,
    steps: int = 50,
    but: Iterable[str] = (),
) -> Any:
    """Return the report of a network without findings; it stays as it was.

    Args:
        model: any network.
        batches: pairs (x, y) unless a loss is given.
        loss: of the network and a batch; None: cross-entropy for classes, the squared error for other targets.
        optimizer: None: Adam with rate 0.001.
        steps: how many.
        but: codes of findings that are known and accepted.
    """
    __tracebackhide__ = True
    # By name, since a plugin that imports torch would slow every pytest down.
    torch = importlib.import_module("torch")
    diagnose = importlib.import_module("vgtemplate.doctor.diagnose").diagnose
    loss_of = importlib.import_module("vgtemplate.doctor.check").loss_of
    moving = torch.optim.Adam(model.parameters(), 1e-3) if optimizer is None else optimizer
    report = diagnose(model, batches, loss or loss_of, moving, steps)
    if set(report.codes) - set(but):
        pytest.fail(str(report), pytrace=False)
    return report
