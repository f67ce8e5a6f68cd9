"""The picture of several arms: what it draws is what was recorded and what the theory says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.config.shipped import find_experiment
from vgtemplate.figures.arms import draw_profiles
from vgtemplate.records import Record
from vgtemplate.theory.profiles import predict


def record(name: str, decay: float, depth: int = 6) -> Record:
    """An arm of tanh layers whose gradient falls by `decay` decades per layer, in three seeds that differ a little."""
    model = {"kind": "mlp", "depth": depth, "width": 64, "activation": "tanh", "initialiser": "lecun_normal"}
    profile = 10.0 ** (-decay * np.arange(depth)[::-1])
    return Record(
        key=name,
        name=name,
        configuration={"model": model, "data": {}, "training": {}},
        seeds=(0, 1, 2),
        dataset={"name": "digits", "input_shape": (1, 8, 8), "classes": list("0123456789")},
        environment={},
        wall_seconds=1.0,
        series={"gradient_rms": profile * np.array([0.9, 1.0, 1.2])[:, None, None] ** np.arange(depth)},
        labels={"layer": []},
    )


def test_lines_are_the_records_and_the_theorys(tmp_path: Path) -> None:
    figure = draw_profiles([record("sharp", 0.5), record("flat", 0.0)])
    (axes,) = figure.axes
    drawn = {str(line.get_label()): line for line in axes.get_lines()}
    (sharp,) = [line for label, line in drawn.items() if label.startswith("sharp: ")]
    assert sharp.get_ydata()[-1] == 0  # type: ignore[index]
    np.testing.assert_allclose(sharp.get_ydata(), -0.5 * np.arange(6)[::-1], atol=1e-9)
    dotted = [line for line in axes.get_lines() if line.get_linestyle() == ":" and len(line.get_xdata()) == 6]
    expected = predict("tanh", depth=6, width=64, weight_std=1 / 8).log10_gradient_rms
    assert len(dotted) == 2
    np.testing.assert_allclose(dotted[0].get_ydata(), expected, atol=1e-6)
    assert "digits, 3 seeds" in axes.get_title(loc="left")
    figure.savefig(tmp_path / "drawn.png")


def test_what_was_not_probed_is_left_out() -> None:
    unprobed = record("none", 0.1)
    unprobed.series.pop("gradient_rms")  # type: ignore[attr-defined]
    assert draw_profiles([unprobed]).axes[0].get_title(loc="left") == "no gradient was probed"


@pytest.mark.parametrize("name", ["sigmoid", "relu", "batchnorm", "residual"])
def test_picture_of_the_readme_is_of_thirty_layers(name: str) -> None:
    path = find_experiment(Path("profiles"))
    arms = resolve_arms(path, load_experiment(path, ExperimentConfig))
    assert arms[name].built_in is not None
    assert arms[name].built_in.depth == 30  # type: ignore[union-attr]
