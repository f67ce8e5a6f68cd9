import io
import subprocess
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from vgtemplate.figures.records import draw_gradient_heat_map, draw_gradient_profile, draw_pictures, write_png
from vgtemplate.records import Record


def make_record(gradient: Any, steps: Any = None) -> Record:
    gradient = np.asarray(gradient, dtype=np.float64)
    series = {"gradient_rms": gradient}
    if steps is not None:
        series["probe_steps"] = np.asarray(steps)
    return Record("k", "plain", {}, tuple(range(len(gradient))), {"name": "mnist"}, {}, 1.0, series)


def random_gradient(seeds: int, probes: int, depth: int) -> np.ndarray:
    return 10.0 ** np.random.default_rng(0).uniform(-8, 0, (seeds, probes, depth))


def texts(figure: Any) -> str:
    return " | ".join(text.get_text() for text in [*figure.texts, *figure.axes[0].texts])


def heat(figure: Any) -> np.ma.MaskedArray:
    return figure.axes[0].images[0].get_array()


def test_heat_map_of_a_training_is_layers_by_steps_of_the_median_seed():
    gradient = random_gradient(5, 7, 4)
    figure = draw_gradient_heat_map(make_record(gradient, steps=np.arange(7) * 10), "plain")
    np.testing.assert_allclose(heat(figure), np.log10(np.sort(gradient, axis=0)[2]).T)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10", "20", "30", "40", "50", "60"]
    assert (axes.get_xlabel(), axes.get_ylim()) == ("training step", (0.5, 4.5))


def test_heat_map_of_a_single_probe_is_layers_by_seeds():
    gradient = random_gradient(10, 1, 4)
    figure = draw_gradient_heat_map(make_record(gradient, steps=[0]), "plain")
    np.testing.assert_allclose(heat(figure), np.log10(gradient[:, 0, :]).T)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [str(seed) for seed in range(10)]
    assert figure.axes[0].get_xlabel() == "seed"


def test_profile_draws_every_seed_and_their_median():
    gradient = random_gradient(5, 3, 20)
    lines = draw_gradient_profile(make_record(gradient), "plain").axes[0].lines
    np.testing.assert_allclose([line.get_ydata() for line in lines[:-1]], np.log10(gradient[:, 0, :]))
    np.testing.assert_allclose(lines[-1].get_ydata(), np.log10(np.sort(gradient[:, 0, :], axis=0)[2]))
    assert list(lines[-1].get_xdata()) == list(range(1, 21))


def test_single_seed_is_drawn_once():
    figure = draw_gradient_profile(make_record(random_gradient(1, 1, 20)), "plain")
    assert len(figure.axes[0].lines) == 1
    assert "median" not in texts(figure)


@pytest.mark.parametrize("draw", [draw_gradient_heat_map, draw_gradient_profile])
def test_figure_names_arm_number_of_seeds_and_data_set(draw):
    said = texts(draw(make_record(random_gradient(10, 1, 4)), "batchnorm"))
    assert "batchnorm" in said
    assert "10 seeds, mnist" in said
    assert "not drawn" not in said


def test_steady_gradient_looks_steady():
    record = make_record(10.0 ** np.random.default_rng(0).normal(-2, 0.01, (10, 1, 30)))
    low, high = draw_gradient_heat_map(record, "residual").axes[0].images[0].get_clim()
    assert high - low == pytest.approx(2.0)
    low, high = draw_gradient_profile(record, "residual").axes[0].get_ylim()
    assert high - low >= 2.0


def test_zeros_and_infinities_are_left_out_and_counted():
    gradient = random_gradient(10, 1, 5)
    gradient[3, 0, 1], gradient[4, 0, 2], gradient[5, 0, 2] = 0.0, np.nan, np.inf
    figure = draw_gradient_heat_map(make_record(gradient), "plain")
    assert "not drawn: 1 zero and 2 not finite of 50 values" in texts(figure)
    hidden = np.zeros((5, 10), dtype=bool)
    hidden[1, 3] = hidden[2, 4] = hidden[2, 5] = True
    np.testing.assert_array_equal(heat(figure).mask, hidden)


def test_median_counts_diverged_seeds_as_infinite_not_as_absent():
    gradient = np.full((3, 2, 1), 1e-3)
    gradient[:2, 1] = np.nan
    figure = draw_gradient_heat_map(make_record(gradient), "plain")
    np.testing.assert_array_equal(heat(figure).mask, [[False, True]])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("draw", [draw_gradient_heat_map, draw_gradient_profile])
def test_nothing_to_draw_is_said(value, draw):
    figure = draw(make_record(np.full((10, 1, 20), value)), "plain")
    assert "nothing to draw" in texts(figure)
    assert "of 200 values" in texts(figure)
    assert np.isfinite(figure.axes[0].get_ylim()).all()
    write_png(figure)


def test_lone_point_between_missing_ones_is_visible():
    gradient = random_gradient(1, 1, 100)
    gradient[0, 0, [40, 42]] = 0.0
    assert draw_gradient_profile(make_record(gradient), "plain").axes[0].lines[-1].get_marker() == "o"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "seeds", "probes"), [(1, 1, 1), (1, 10, 50), (2, 10, 1), (20, 1, 50), (100, 10, 1), (100, 1, 50)]
)
@pytest.mark.filterwarnings("error")
def test_every_size_becomes_a_picture_with_whole_layer_numbers(depth, seeds, probes):
    record = make_record(random_gradient(seeds, probes, depth), steps=np.arange(probes))
    for content in draw_pictures(record, "plain").values():
        picture = Image.open(io.BytesIO(content))
        assert (picture.format, picture.size) == ("PNG", (720, 440))
        assert len(np.unique(np.asarray(picture.convert("RGB")) @ [1, 256, 65536])) > 10
    layer_axis = draw_gradient_heat_map(record, "plain").axes[0]
    labels = [label.get_text() for label in layer_axis.get_yticklabels()]
    assert labels
    assert all(label.isdigit() for label in labels)
    assert len(layer_axis.get_xticks()) <= 12


def test_long_name_is_cut_to_fit():
    figure = draw_gradient_profile(make_record(random_gradient(2, 1, 4)), "a" * 80)
    figure.canvas.draw()
    assert all(text.get_window_extent().x1 <= 720 for text in figure.texts)


def test_record_without_gradients_has_no_pictures():
    record = Record("k", "check", {}, (), {}, {}, 1.0, {"quantities": np.array([[1.0]])}, {"quantity": ["x"]})
    assert draw_pictures(record, "check") == {}


def test_same_record_makes_the_same_bytes_and_changes_no_global_setting():
    record = make_record(random_gradient(3, 4, 5))
    before = dict(mpl.rcParams)
    assert draw_pictures(record, "plain") == draw_pictures(record, "plain")
    assert dict(mpl.rcParams) == before


def test_drawing_imports_neither_torch_nor_pyplot():
    code = (
        "import sys, numpy as np\n"
        "from vgtemplate.records import Record\n"
        "from vgtemplate.figures.records import draw_pictures\n"
        "draw_pictures(Record('k', 'a', {}, (0,), {}, {}, 1.0, {'gradient_rms': np.ones((1, 1, 2))}), 'a')\n"
        "sys.exit(' '.join({'torch', 'matplotlib.pyplot'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
