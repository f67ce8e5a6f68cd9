"""What a notebook shows of a probe and of a record."""

from __future__ import annotations

import numpy as np
import pytest

from vgtemplate import GradientProbe
from vgtemplate.records import Record


def test_plot_draws_what_was_probed() -> None:
    probe = GradientProbe(every=1)
    probe.recorder.hidden = ["first", "second"]
    for step, values in ((0, [[1.0, 10.0]]), (1, [[2.0, 20.0]])):
        probe.recorder.measurements.keep(step, "gradient_rms", probe.recorder.hidden, np.array(values))
    (axes,) = probe.plot().axes
    (first, *_) = axes.get_lines()
    np.testing.assert_allclose(first.get_ydata(), [0, 1], atol=1e-6)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["first", "second"]


def test_plot_of_what_measured_no_gradient_says_so() -> None:
    with pytest.raises(ValueError, match="no gradient was measured"):
        GradientProbe().plot()


def test_record_shows_itself_in_a_notebook_without_giving_orders() -> None:
    series = {"train_loss": np.zeros((2, 5))}
    shown = Record("k", "<b>arm</b>", {}, (0, 1), {"name": "digits"}, {}, 1.5, series)._repr_html_()
    assert "&lt;b&gt;arm&lt;/b&gt;, 1.5 s" in shown
    assert "train_loss 2x5" in shown
    assert "<b>" not in shown
