"""What is kept of a training: arrays with holes, notes, and both again from a checkpoint."""

from __future__ import annotations

import io

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.watching.measurements import Measurements


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from("xyz"), unique=True, min_size=1)), max_size=8)
)
def test_series_have_a_column_per_layer_and_a_hole_where_nothing_was_kept(kept: list[tuple[str, list[str]]]) -> None:
    measurements = Measurements()
    expected: dict[tuple[str, int, str], float] = {}
    for step, (name, layers) in enumerate(kept):
        values = np.arange(len(layers), dtype=float)[None] + 10 * step
        measurements.keep(step, name, layers, values)
        expected |= {(name, step, layer): values[0, index] for index, layer in enumerate(layers)}
    series = measurements.series()
    assert measurements.steps == list(range(len(kept)))
    assert set(series) == {name for name, _ in kept}
    for name, array in series.items():
        assert array.shape == (1, len(kept), len(measurements.layers))
        for step in measurements.steps:
            for column, layer in enumerate(measurements.layers):
                value = expected.get((name, step, layer), np.nan)
                np.testing.assert_equal(array[0, step, column], value)


def test_checkpoint_gives_everything_back() -> None:
    measurements = Measurements()
    measurements.keep(0, "gradient_rms", ["a", "b"], np.array([[1.0, np.nan]]))
    measurements.keep(4, "gradient_rms", ["b"], np.array([[3.0]]))
    measurements.over_time["a"] = {0: np.array([1.0, 2.0])}
    measurements.note("frozen", "a")
    buffer = io.BytesIO()
    torch.save(measurements.state_dict(), buffer)
    buffer.seek(0)
    again = Measurements()
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert (again.steps, again.layers, again.notes) == ([0, 4], ["a", "b"], ["frozen: a"])
    np.testing.assert_array_equal(again.series()["gradient_rms"], measurements.series()["gradient_rms"])
    np.testing.assert_array_equal(again.over_time["a"][0], [1.0, 2.0])


def test_notes_say_a_reason_once_and_name_a_few_layers() -> None:
    measurements = Measurements()
    for _ in range(2):
        for number in range(9):
            measurements.note("frozen", f"layer{number}")
    measurements.note("compiled")
    assert measurements.notes == [
        "frozen: layer0, layer1, layer2, layer3, layer4, layer5 and 3 more",
        "compiled",
    ]
    for number in range(1000):
        measurements.note(f"fails in way {number}")
    assert len(measurements.notes) <= 50
