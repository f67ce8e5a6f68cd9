"""The order in which settings are merged, what `--set` and `--variant` do, and what they would do for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, merge, parse_override, resolve_arms
from vgtemplate.config.yaml import read_yaml


def write(folder: Path, text: str, name: str = "it") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def arm(settings: str) -> str:
    return f"arms: {{a: {settings}}}\n"


def test_later_layers_of_settings_win(tmp_path: Path) -> None:
    write(tmp_path, "variants: [residual]\nmodel: {depth: 2, width: 3, norm: layer, dropout: 0.1}", "ground")
    path = write(tmp_path, "base: ground\narms: {a: {variants: [batchnorm, clipped], model: {dropout: 0.2}}, b: {}}")
    experiment = load_experiment(path, ExperimentConfig)
    model = {name: config.model for name, config in resolve_arms(path, experiment).items()}
    assert model["b"].residual  # the base's own variant
    assert (model["b"].norm, model["a"].norm) == ("layer", "batch")  # a variant over the base
    assert (model["b"].dropout, model["a"].dropout) == (0.1, 0.2)  # the arm over the base
    changed = resolve_arms(path, experiment, ["model.width=5"], ["clipped"])
    assert [arm.model.width for arm in changed.values()] == [5, 5]  # --set over the base
    assert [arm.clipping.kind for arm in changed.values()] == ["norm", "norm"]  # --variant over the base


def test_arm_wins_over_its_variant_and_loses_to_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, arm("{variants: [batchnorm], model: {norm: layer}, clipping: {kind: value, threshold: 3}}"))
    experiment = load_experiment(path, ExperimentConfig)
    assert resolve_arms(path, experiment)["a"].model.norm == "layer"
    assert resolve_arms(path, experiment, (), ["batchnorm"])["a"].model.norm == "batch"
    clipped = resolve_arms(path, experiment, (), ["clipped"])["a"].clipping
    assert (clipped.kind, clipped.threshold) == ("norm", 3)
    last = resolve_arms(path, experiment, ["model.norm=none", "model.norm=layer"], ["batchnorm"])["a"]
    assert last.model.norm == "layer"


def test_base_is_found_beside_the_file_then_in_bases_there_then_one_folder_up(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    for width, folder in ((1, tmp_path / "bases"), (2, claims / "bases"), (3, claims)):
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, f"model: {{width: {width}}}", "ground")
    path = write(claims, "base: ground\narms: {a: {}}")
    for width, folder in ((3, claims), (2, claims / "bases"), (1, tmp_path / "bases")):
        assert resolve_arms(path, load_experiment(path, ExperimentConfig))["a"].model.width == width
        (folder / "ground.yaml").unlink()
    write(tmp_path / "bases", "{}", "grounds")
    with pytest.raises(UserError, match="base: unknown base 'ground'; did you mean 'grounds'"):
        load_experiment(path, ExperimentConfig)


def test_merge_is_mapping_by_mapping_and_changes_neither_side() -> None:
    base, patch = {"a": {"b": 1, "c": 2}, "d": [1, 2]}, {"a": {"c": 3}, "d": [4]}
    assert merge(base, patch) == {"a": {"b": 1, "c": 3}, "d": [4]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert patch == {"a": {"c": 3}, "d": [4]}


def test_override_is_read_as_yaml() -> None:
    assert parse_override("model.depth=20") == {"model": {"depth": 20}}
    assert parse_override("optimiser.lr=1e-3") == {"optimiser": {"lr": 0.001}}
    assert parse_override("model.width=[8, 16]") == {"model": {"width": [8, 16]}}
    assert parse_override("training.epochs=null") == {"training": {"epochs": None}}


def test_override_may_complete_what_the_arm_has(tmp_path: Path) -> None:
    path = write(tmp_path, arm("{model: {initialiser: {name: normal, std: 1}}, data: {num_validation: 100}}"))
    experiment = load_experiment(path, ExperimentConfig)
    settings = ["model.initialiser.std=0.5", "training.validate_every=10", "model.initialiser.gain=2"]
    config = resolve_arms(path, experiment, settings)["a"]
    assert (config.model.initialiser.std, config.model.initialiser.gain) == (0.5, 2.0)
    assert config.training.validate_every == 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("depth=3", "--set 'depth=3': must look like section.key=value"),
        ("model.depth", "--set 'model.depth': must look like section.key=value"),
        ("model..depth=3", "must look like section.key=value"),
        ("../x.y=3", "must look like section.key=value"),
        ("model.depht=3", "--set model.depht=3: model.depht: unknown key 'depht'; did you mean 'depth'?"),
        ("model.depth=deep", "--set model.depth=deep: model.depth: input should be a valid integer, not 'deep'"),
        ("model.depth=", "--set model.depth=: model.depth: input should be a valid integer"),
        ("model.depth=[", "--set model.depth: line 1, column 2"),
        ("model.depth=\n\n0", "model.depth: input should be greater than or equal to 1"),
        ("model\n.depth=0", "must look like section.key=value"),
        ("model.depth\n=[", "--set model.depth: line 1"),
        ("model.depth=!!python/object:os.system {}", "could not determine a constructor"),
        ("mdel.depth=3", "unknown key 'mdel'; did you mean 'model'?"),
        ("model.initialiser.std=0.5", "arms.a.model.initialiser.name: is missing"),
        ("model.initialiser=normal", "arms.a.model.initialiser: initialiser 'normal' needs a std"),
    ],
)
def test_bad_override_is_refused(override: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, arm("{}"))
    experiment = load_experiment(path, ExperimentConfig)
    with pytest.raises(UserError) as caught:
        resolve_arms(path, experiment, [override])
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_bad_variant_of_the_command_line_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, arm("{}"))
    experiment = load_experiment(path, ExperimentConfig)
    with pytest.raises(UserError, match=r"^--variant: unknown variant 'resnet'; .*known: batchnorm, clipped"):
        resolve_arms(path, experiment, (), ["resnet"])


def test_numbers_in_exponent_notation_are_numbers(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "{a: 1e-3, b: 1E5, c: -2.5e+1, d: .5e1}")) == {
        "a": 0.001,
        "b": 1e5,
        "c": -25.0,
        "d": 5.0,
    }


@pytest.mark.parametrize(
    ("base", "own", "overrides", "message"),
    [
        ("{epochs: 5}", "{}", ["training.steps=60"], "^--set training.steps=60: training.steps is ignored, since arm"),
        ("{epochs: 5}", "{}", ["training.steps=60"], "'a' has training.epochs: 5; add --set training.epochs=null"),
        ("{}", "{}", ["training.epochs=3", "training.steps=60"], "has training.epochs: 3; add --set"),
        ("{}", "{epochs: 3}", ["training.steps=60"], "has training.epochs: 3; add --set"),
        ("{epochs: 5}", "{steps: 60}", [], "it.yaml: arms.a: training.steps is ignored, .* 5; add epochs: null"),
    ],
)
def test_steps_that_an_earlier_epochs_would_hide_are_refused(
    base: str, own: str, overrides: list[str], message: str, tmp_path: Path
) -> None:
    write(tmp_path, f"training: {base}", "ground")
    path = write(tmp_path, f"base: ground\narms: {{a: {{training: {own}}}}}")
    experiment = ExperimentConfig(base="ground", arms=read_yaml(path)["arms"])
    with pytest.raises(UserError, match=message):
        resolve_arms(path, experiment, overrides)


@pytest.mark.parametrize(
    ("base", "own", "overrides", "length"),
    [
        ("{epochs: 5}", "{}", ["training.epochs=null", "training.steps=60"], (60, None)),
        ("{epochs: 5}", "{}", ["training.steps=60", "training.epochs=null"], (60, None)),
        ("{steps: 60}", "{epochs: 5}", [], (60, 5)),
        ("{epochs: 5}", "{steps: 60, epochs: null}", [], (60, None)),
        ("{epochs: 5, steps: 7}", "{}", ["training.epochs=3"], (7, 3)),
    ],
)
def test_last_word_on_the_length_of_training_holds(
    base: str, own: str, overrides: list[str], length: tuple[int, int | None], tmp_path: Path
) -> None:
    write(tmp_path, f"training: {base}", "ground")
    path = write(tmp_path, f"base: ground\narms: {{a: {{training: {own}}}}}")
    training = resolve_arms(path, load_experiment(path, ExperimentConfig), overrides)["a"].training
    assert (training.steps, training.epochs) == length


def test_last_of_equal_overrides_counts(tmp_path: Path) -> None:
    path = write(tmp_path, arm("{}"))
    settings = ["model.depth=1", "model.depth=2", "model.depth=1"]
    assert resolve_arms(path, load_experiment(path, ExperimentConfig), settings)["a"].model.depth == 1
