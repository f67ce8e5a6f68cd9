"""What the laboratory's tests share, so that they need not wait: workers that begin at once, figures drawn once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.processes import forking


@pytest.fixture(autouse=True)
def workers_that_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork this process's workers from one that has torch and Lightning loaded already.

    tests/lab/test_fire.py and test_reproduce.py have workers that start as they do for a user.
    """
    monkeypatch.setattr("vgtemplate.lab.worker.multiprocessing.get_context", forking)


@functools.cache
def _draw_phases(activation: str) -> str:
    from vgtemplate.lab.report.theory_page import draw_phases

    return draw_phases(activation)


@functools.cache
def _draw(draw: Callable[[], Any], title: str) -> Any:
    from vgtemplate.lab.report.html import embed

    return embed(draw(), title)


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw a figure that is made of formulas alone once for all tests; those of records are drawn for each."""
    from vgtemplate.lab.report.gallery import Entry

    _draw_phases("tanh"), _draw_phases("relu")
    monkeypatch.setattr("vgtemplate.lab.report.theory_page.draw_phases", _draw_phases)
    # A figure of records is drawn by a function made for it, which is not in the cache.
    figure = property(lambda entry: None if entry.draw is None else _draw(entry.draw, entry.title))
    monkeypatch.setattr(Entry, "figure", figure)
