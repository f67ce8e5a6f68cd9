"""The order in which settings are merged, what `--set` and `--variant` do, and which files of a folder are claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.load import load_claims, load_experiment, merge, parse_override, read_yaml, resolve_arms

CLAIM = {
    "id": "it",
    "articles": "[bn-relu]",
    "statement": "Something is so.",
    "kind": "initial",
    "arms": "{a: {}, b: {}}",
    "parts": '[{metric: gradient_slope, arms: [a], threshold: "< 1"}]',
    "literature": "True.",
}


def write(folder: Path, text: str, name: str = "it") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def claim_text(**changes: str | None) -> str:
    """Return a valid claim's YAML with some keys replaced, or left out where None."""
    return "".join(f"{key}: {value}\n" for key, value in (CLAIM | changes).items() if value is not None)


def arm(settings: str) -> str:
    return f"arms: {{a: {settings}}}\n"


def test_later_layers_of_settings_win(tmp_path: Path) -> None:
    write(tmp_path, "variants: [residual]\nmodel: {depth: 2, width: 3, norm: layer, dropout: 0.1}", "ground")
    path = write(tmp_path, "base: ground\narms: {a: {variants: [batchnorm, clipped], model: {dropout: 0.2}}, b: {}}")
    experiment = load_experiment(path)
    model = {name: config.model for name, config in resolve_arms(path, experiment).items()}
    assert model["b"].residual  # the base's own variant
    assert (model["b"].norm, model["a"].norm) == ("layer", "batch")  # a variant over the base
    assert (model["b"].dropout, model["a"].dropout) == (0.1, 0.2)  # the arm over the base
    changed = resolve_arms(path, experiment, ["model.width=5"], ["clipped"])
    assert [arm.model.width for arm in changed.values()] == [5, 5]  # --set over the base
    assert [arm.clipping.kind for arm in changed.values()] == ["norm", "norm"]  # --variant over the base


def test_arm_wins_over_its_variant_and_loses_to_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, arm("{variants: [batchnorm], model: {norm: layer}, clipping: {kind: value, threshold: 3}}"))
    experiment = load_experiment(path)
    assert resolve_arms(path, experiment)["a"].model.norm == "layer"
    assert resolve_arms(path, experiment, (), ["batchnorm"])["a"].model.norm == "batch"
    clipped = resolve_arms(path, experiment, (), ["clipped"])["a"].clipping
    assert (clipped.kind, clipped.threshold) == ("norm", 3)
    last = resolve_arms(path, experiment, ["model.norm=none", "model.norm=layer"], ["batchnorm"])["a"]
    assert last.model.norm == "layer"


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
    experiment = load_experiment(path)
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
        ("modle.depth=3", "unknown key 'modle'; did you mean 'model'?"),
        ("model.initialiser.std=0.5", "arms.a.model.initialiser.name: is missing"),
        ("model.initialiser=normal", "arms.a.model.initialiser: initialiser 'normal' needs a std"),
    ],
)
def test_bad_override_is_refused(override: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, arm("{}"))
    experiment = load_experiment(path)
    with pytest.raises(UserError) as caught:
        resolve_arms(path, experiment, [override])
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_bad_variant_of_the_command_line_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, arm("{}"))
    experiment = load_experiment(path)
    with pytest.raises(UserError, match=r"--variant.variants: unknown variant 'resnet'; .*known: batchnorm, clipped"):
        resolve_arms(path, experiment, (), ["resnet"])


def test_numbers_in_exponent_notation_are_numbers(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "{a: 1e-3, b: 1E5, c: -2.5e+1, d: .5e1}")) == {
        "a": 0.001,
        "b": 1e5,
        "c": -25.0,
        "d": 5.0,
    }


def test_claims_of_a_folder_come_by_kind_then_name_without_bases_and_experiments(tmp_path: Path) -> None:
    exact = {
        "kind": "exact",
        "check": "chain_rule_product",
        "arms": None,
        "parts": '[{metric: error_at_depth_4, threshold: "< 1"}]',
    }
    for name, kind in (("z", exact), ("b", {}), ("c", {"kind": "training"}), ("a", {})):
        write(tmp_path, claim_text(id=name, **kind), name)
    write(tmp_path, "model: {depth: 3}", "base")
    write(tmp_path, arm("{}"), "experiment")
    assert list(load_claims(tmp_path)) == ["z", "a", "b", "c"]


@pytest.mark.parametrize("missing", ["statement", "parts", "literature", "kind"])
def test_incomplete_claim_of_a_folder_is_refused_rather_than_passed_over(missing: str, tmp_path: Path) -> None:
    path = write(tmp_path, claim_text(**{missing: None}))
    with pytest.raises(UserError, match=f"{path.name}: {missing}: is missing"):
        load_claims(tmp_path)


def test_folder_of_experiments_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder of experiments"):
        load_claims(tmp_path / "absent")
