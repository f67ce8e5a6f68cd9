"""`vgt predict` and `vgt phase-diagram` as a user calls them: what is printed, drawn and refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vgtemplate.cli.main import main
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record, write_record

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vgt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Call vgt in an empty folder; return its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("VGT_DATA_DIR", str(tmp_path / "data"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vgt", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(captured.out.split()), captured.err.strip()

    return call


def numbers(vgt: Call, *arguments: str) -> dict[str, Any]:
    code, output, errors = vgt("predict", *arguments, "--json")
    assert (code, errors) == (0, "")
    found: dict[str, Any] = json.loads(output)
    return found


def test_relu_with_lecuns_weights_loses_half_the_square_a_layer(vgt: Call) -> None:
    found = numbers(vgt, "--activation", "relu", "--init", "lecun_normal", "--depth", "31")
    assert found["gradient_slope"] == pytest.approx(-math.log10(2) / 2)
    assert found["total_change"] == pytest.approx(-30 * math.log10(2) / 2)
    assert found["gain"] == pytest.approx(1)
    assert found["critical_gain"] == pytest.approx(math.sqrt(2))
    assert found["balancing_gain"] == pytest.approx(math.sqrt(2), rel=1e-3)
    low, high = found["gradient_slope_band"]
    assert low < found["gradient_slope"] < high
    assert len(found["q"]) == len(found["log10_gradient_low"]) == 31


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--activation", "sigmoid"), "The gradient vanishes: times 10^-12.0 over 20 layers, 10^-0.6271 per layer"),
        (("--activation", "tanh", "--init", "lecun_normal"), "The gradient shrinks a little: times 0.19 over"),
        (("--activation", "relu", "--gain", "2"), "The gradient explodes: times 10^+5.7 over 20 layers"),
        (("--activation", "relu", "--gain", "2"), "with g = 2.828. At g = 1.414 the gradient keeps its size"),
        (("--activation", "relu", "--norm", "batch"), "Batch normalisation takes the weights' scale out"),
        (
            ("--activation", "tanh", "--norm", "layer", "--set", "model.norm_position=after"),
            "Layer normalisation after the activation: the gradient grows at every scale of the weights",
        ),
        (("--activation", "relu", "--residual"), "Every block adds to the gradient that goes past it"),
        (("--activation", "sigmoid"), "variance of what the activations see settles at 0.265"),
        (
            ("--activation", "gelu", "--gain", "2"),
            "No g keeps the gradient's size however deep the network is; over this",
        ),
        (("--activation", "relu"), "The gradient keeps its size: times 1 over 20 layers"),
        (("--activation", "relu", "--depth", "1"), "One hidden layer has no profile."),
        (("--activation", "relu", "--gain", "1e30"), "The signal leaves the range of numbers"),
    ],
)
def test_verdict_and_advice_are_sentences(vgt: Call, arguments: tuple[str, ...], words: str) -> None:
    code, output, _ = vgt("predict", *arguments)
    assert code == 0
    assert words in output


def test_table_has_the_first_and_the_last_layer_of_a_deep_network(vgt: Call) -> None:
    _, output, _ = vgt("predict", "--activation", "relu", "--depth", "50", "--width", "32")
    assert "depth 50, width 32; standardised images of 28x28 pixels" in output
    rows = re.findall(r"(\d+) 2 1 1 ", output)
    assert (rows[0], rows[-1], len(rows)) == ("1", "50", 14)


def test_options_are_the_settings_of_a_network(vgt: Call) -> None:
    by_option = numbers(vgt, "--activation", "tanh", "--depth", "9", "--width", "32", "--norm", "layer", "--residual")
    texts = ("depth=9", "width=32", "norm=layer", "residual=true")
    by_set = numbers(vgt, "--activation", "tanh", *(word for text in texts for word in ("--set", f"model.{text}")))
    assert by_option == by_set
    assert by_option["configuration"]["norm"] == "layer"


def test_arms_of_an_experiment_can_be_predicted_without_their_data(vgt: Call) -> None:
    arm = f"{EXPERIMENTS / 'mlp-variants.yaml'}:plain"
    found = numbers(vgt, "--arm", arm)
    assert found["gradient_slope"] == pytest.approx(-0.627, abs=1e-3)
    assert found["images"] == "standardised images of 28x28 pixels"
    wider = numbers(vgt, "--arm", arm, "--gain", "3")
    assert (wider["gain"], wider["configuration"]["initialiser"]["name"]) == (pytest.approx(3), "glorot_normal")
    changed = numbers(vgt, "--arm", arm, "--activation", "tanh")
    assert changed["gradient_slope"] > -0.1
    cifar = numbers(vgt, "--arm", f"{EXPERIMENTS / 'cifar-resnet.yaml'}:plain-20")
    assert cifar["images"] == "standardised images of 32x32 pixels"
    residual = numbers(vgt, "--arm", f"{EXPERIMENTS / 'cifar-resnet.yaml'}:residual-20")
    assert len(residual["q"]) == 19
    assert 0 < residual["gradient_slope"] < 0.03


def test_what_has_no_end_is_infinity_in_json_and_left_out_of_the_advice(vgt: Call) -> None:
    critical = numbers(vgt, "--activation", "relu", "--init", "he_normal", "--depth", "5")
    assert critical["depth_scales"]["of_gradient"] == "Infinity"
    assert "Further down" not in vgt("predict", "--activation", "relu", "--init", "he_normal", "--depth", "5")[1]
    overflown = numbers(vgt, "--activation", "relu", "--gain", "1e30")
    assert overflown["gradient_slope"] is None
    assert "Infinity" in overflown["q"]


def test_images_of_a_data_set_are_sent_in(vgt: Call) -> None:
    found = numbers(vgt, "--activation", "tanh", "--dataset", "digits", "--set", "data.scaling=unit")
    assert found["images"] == "images of digits"
    assert found["q"][0] < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: which network? name an --activation, e.g. tanh, or an --arm FILE.yaml:ARM"),
        (("--activation", "rellu"), "error: unknown activation 'rellu'; did you mean 'relu'?"),
        (("--activation", "relu", "--init", "hee"), "unknown initialiser 'hee'"),
        (("--activation", "relu", "--depth", "0"), "model.depth"),
        (("--activation", "relu", "--norm", "bacth"), "model.norm"),
        (("--activation", "relu", "--dataset", "mnits"), "unknown data set 'mnits'; did you mean 'mnist'?"),
        (("--arm", "nowhere.yaml:a"), "nowhere.yaml"),
        (("--arm", f"{EXPERIMENTS / 'mlp-variants.yaml'}:palin"), "did you mean 'plain'?"),
        (
            ("--arm", f"{EXPERIMENTS / 'cifar-resnet.yaml'}:residual-20", "--norm", "none"),
            "the activation stands after the shortcut",
        ),
        (("--records",), "holds no record of a gradient"),
        (("--records", "--activation", "relu"), "it goes with --json only"),
        (("--activation", "relu", "--plot", "a.gif"), "a.gif: cannot be drawn as .gif; allowed: .png, .svg, .pdf"),
        (("--activation", "relu", "--plot", "none/a.png"), "none/a.png: cannot be written"),
    ],
)
def test_mistakes_are_one_line(vgt: Call, arguments: tuple[str, ...], message: str) -> None:
    code, output, errors = vgt("predict", *arguments)
    assert code == 2
    assert message in errors
    assert "\n" not in errors
    assert output == ""


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_profile_is_drawn(vgt: Call, tmp_path: Path, ending: str) -> None:
    code, output, _ = vgt("predict", "--activation", "selu", "--plot", f"profile.{ending}")
    assert code == 0
    assert output.endswith(f"drawn: profile.{ending}")
    assert [path.name for path in tmp_path.iterdir()] == [f"profile.{ending}"]
    if ending == "png":
        assert np.asarray(Image.open(tmp_path / "profile.png")).std() > 10


def test_phase_diagram_prints_the_critical_line_and_draws(vgt: Call, tmp_path: Path) -> None:
    code, output, _ = vgt("phase-diagram", "tanh", "--biases", "0.05")
    assert code == 0
    assert " 0 1 1 " in output
    assert " 0.05 1.761 1.327 " in output
    assert output.endswith("drawn: phase-diagram-tanh.png")
    red, _, blue = np.asarray(Image.open(tmp_path / "phase-diagram-tanh.png").convert("RGB")).reshape(-1, 3).T
    assert ((blue.astype(int) - red) > 60).mean() > 0.05


def test_phase_diagram_of_relu_has_no_line_with_biases(vgt: Call) -> None:
    _, output, _ = vgt("phase-diagram", "relu", "--plot", "relu.svg")
    assert " 0 2 1.414 " in output
    assert output.count(" none - ") == 5


@pytest.mark.parametrize("variance", ["nan", "inf", "0", "-1", "1e7", "much"])
def test_what_is_no_variance_is_refused(vgt: Call, tmp_path: Path, variance: str) -> None:
    code, _, errors = vgt("phase-diagram", "tanh", "--weights", variance)
    assert (code, errors.count("\n")) == (2, 0)
    assert not list(tmp_path.iterdir())


def test_unknown_activation_has_no_phases(vgt: Call, tmp_path: Path) -> None:
    code, _, errors = vgt("phase-diagram", "tahn")
    assert (code, errors.count("\n")) == (2, 0)
    assert "did you mean 'tanh'?" in errors
    assert not list(tmp_path.iterdir())


def keep(results: Path, key: str, name: str, slope: float) -> None:
    config = ArmConfig.model_validate({"model": {"depth": 5, "activation": "relu"}})
    logs = np.array([[-slope * layer for layer in (4, 3, 2, 1, 0)]]) * -1
    series = {"gradient_rms": 10 ** logs[:, None]}
    results.mkdir(exist_ok=True)
    write_record(
        results, Record(key, name, config.model_dump(mode="json"), (0,), {"input_shape": [1, 8, 8]}, {}, 0.0, series)
    )


def test_records_are_set_beside_their_predictions(vgt: Call, tmp_path: Path) -> None:
    for key, name, slope in (("a" * 20, "near", 0.004), ("b" * 20, "far", 0.5), ("c" * 20, "twin", 0.004)):
        keep(tmp_path / "results", key, name, slope)
    code, output, _ = vgt("predict", "--records")
    assert code == 0
    assert output.index("far") < output.index("near and 1 more")
    assert "outside the band of its width: not explained" in output
    assert "1 of 2 networks within 0.01 decades per layer; of the plain ones of width 64 and more, 1 of 2." in output
    _, plain, _ = vgt("predict", "--records", "--json")
    assert [(row["arm"], round(row["error"], 3)) for row in json.loads(plain)] == [
        ("far", 0.5),
        ("near and 1 more", 0.004),
    ]


def test_unlike_networks_of_one_name_each_have_a_row(vgt: Call, tmp_path: Path) -> None:
    for key, slope in (("a" * 20, 0.004), ("b" * 20, 0.2)):
        keep(tmp_path / "results", key, "relu", slope)
    assert len(json.loads(vgt("predict", "--records", "--json")[1])) == 2
