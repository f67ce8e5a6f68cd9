"""An arm's key: the same for the same work, another for anything that could change a number."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config import key
from vgtemplate.config.key import arm_key, source_hash
from vgtemplate.config.schema import ArmConfig

CHANGES: list[dict[str, dict[str, Any]]] = [
    {"model": {"kind": "cnn"}},
    {"model": {"depth": 5}},
    {"model": {"width": 65}},
    {"model": {"width": [64, 32]}},
    {"model": {"activation": "tanh"}},
    {"model": {"initialiser": "he_uniform"}},
    {"model": {"initialiser": {"name": "he_normal", "gain": 1.5}}},
    {"model": {"initialiser": {"name": "normal", "std": 1}}},
    {"model": {"initialiser": {"name": "normal", "std": 2}}},
    {"model": {"bias": "none"}},
    {"model": {"norm": "batch"}},
    {"model": {"norm": "batch", "norm_position": "after"}},
    {"model": {"norm": "batch", "norm_affine": False}},
    {"model": {"norm": "batch", "norm_noise": True}},
    {"model": {"residual": True}},
    {"model": {"dropout": 0.1}},
    {"model": {"num_stages": 2}},
    {"model": {"kind": "cnn", "output": "image"}, "training": {"noise": 0.1}, "data": {"scaling": "unit"}},
    {"data": {"draw": "per_seed"}},
    {"data": {"dataset": "mnist"}},
    {"data": {"dataset": "image_folder", "path": "a"}},
    {"data": {"dataset": "image_folder", "path": "b"}},
    {"data": {"factory": "json:loads"}},
    {"data": {"factory": "json:dumps"}},
    {"data": {"factory": "json:dumps", "settings": {"obj": 1}}},
    {"data": {"num_train": 9_999}},
    {"data": {"num_validation": 1}},
    {"data": {"num_test": 10}},
    {"data": {"scaling": "unit"}},
    {"data": {"batch_size": 127}},
    {"data": {"augment": "crop_flip"}},
    {"optimiser": {"name": "adam"}},
    {"optimiser": {"lr": 0.1000000001}},
    {"optimiser": {"momentum": 0.9}},
    {"optimiser": {"weight_decay": 0.1}},
    {"optimiser": {"schedule": "cosine"}},
    {"optimiser": {"warm_up": 10}},
    {"optimiser": {"l1": 0.1}},
    {"clipping": {"kind": "norm"}},
    {"clipping": {"threshold": 2}},
    {"training": {"steps": 501}},
    {"training": {"epochs": 1}},
    {"training": {"accumulate": 2}},
    {"training": {"loss": "binary_cross_entropy"}},
    {"training": {"loss": "json:dumps"}},
    {"training": {"score": "r2"}},
    {"training": {"score": "json:dumps"}},
    {"training": {"precision": "64-true"}},
    {"training": {"evaluate": False}},
    {"training": {"evaluate_train": True}},
    {"training": {"stop_loss": 1}},
    {"training": {"stop_accuracy": 1}},
    {"model": {"activation": "sigmoid"}, "pretraining": {"kind": "rbm"}},
    {"pretraining": {"steps": 1}},
    {"pretraining": {"lr": 1}},
    {"pretraining": {"corruption": 0.1}},
    {"training": {"validate_every": 5}, "data": {"num_validation": 10}},
    {"probes": {"every": 1}},
    {"probes": {"num_images": 10}},
    {"probes": {"shift": True}},
    {"probes": {"gradient_change": True}},
    {"probes": {"growth": True}},
    {"probes": {"removal": True}},
    {"probes": {"zero_gradients": True}},
]


def key_of(content: dict[str, Any], seeds: tuple[int, ...] = (0, 1), fingerprint: str = "f") -> str:
    return arm_key(ArmConfig.model_validate(content).model_dump(mode="json"), seeds, fingerprint)


def test_every_setting_changes_the_key() -> None:
    keys = [key_of({}), *(key_of(change) for change in CHANGES)]
    keys += [key_of({"model": {"factory": "json:loads"}}), key_of({"module": {"factory": "json:loads"}})]
    keys += [key_of({name: {"factory": "json:loads", "settings": {"s": 1}}}) for name in ("model", "module")]
    assert len(set(keys)) == len(keys)
    changed = {(section, name) for change in CHANGES for section, values in change.items() for name in values}
    settings = {(section, name) for section, values in ArmConfig().model_dump().items() for name in values}
    assert changed == settings


def test_constants_that_stand_in_no_configuration_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of({}), key_of({"model": {"activation": "tanh"}})
    with monkeypatch.context() as patch:
        row = replace(key.ACTIVATIONS["tanh"], max_derivative=0.5)
        patch.setattr(key, "ACTIVATIONS", {**key.ACTIVATIONS, "tanh": row})
        assert key_of({}) == before[0]
        assert key_of({"model": {"activation": "tanh"}}) != before[1]
    monkeypatch.setattr(key, "LOSS_WINDOW", 21)
    assert key_of({}) != before[0]


def test_seeds_their_order_and_the_data_change_the_key() -> None:
    keys = [
        key_of({}),
        key_of({}, (1, 0)),
        key_of({}, (0, 1, 2)),
        key_of({}, (0,)),
        key_of({}, (0, 2)),
        key_of({}, fingerprint="g"),
    ]
    assert len(set(keys)) == len(keys)


def test_what_is_written_out_does_not_change_the_key() -> None:
    assert key_of({}) == key_of({"model": {"depth": 4, "initialiser": {"name": "he_normal"}}, "optimiser": {"lr": 0.1}})
    config = ArmConfig().model_dump(mode="json")
    backwards = dict(reversed(config.items()))
    assert arm_key(backwards, [0], "f") == arm_key(config, [0], "f")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's sources that keys are computed from."""
    copy = tmp_path / "vgtemplate"
    shutil.copytree(key._PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(key, "_PACKAGE", copy)
    source_hash.cache_clear()
    yield copy
    source_hash.cache_clear()


def changes_the_key(package: Path, file: str) -> bool:
    """Change a source file; say whether an arm's key changed."""
    before = key_of({})
    path = package / file
    path.write_text((path.read_text() if path.exists() else "") + "\n# another line\n")
    source_hash.cache_clear()
    return key_of({}) != before


def test_copy_of_the_sources_has_the_same_keys(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    copied = key_of({})
    monkeypatch.undo()
    source_hash.cache_clear()
    assert key_of({}) == copied


@pytest.mark.parametrize(
    ("file", "decides"),
    [
        ("nn/activations.py", True),
        ("nn/linear.py", True),
        ("config/seeding.py", True),
        ("data/batches.py", True),
        ("measure.py", True),
        ("callbacks/gradient.py", True),
        ("training/module.py", True),
        ("training/clipping.py", True),
        ("training/a_new_file.py", True),
        ("metrics/trained.py", False),
        ("cli/main.py", False),
        ("jobs/run.py", False),
        ("theory/profiles.py", False),
        ("records.py", False),
    ],
)
def test_key_follows_the_source_that_decides_the_numbers(file: str, decides: bool, package: Path) -> None:
    assert (package / file).exists() == ("new" not in file)
    assert changes_the_key(package, file) == decides


def test_renamed_source_changes_the_key(package: Path) -> None:
    before = key_of({})
    (package / "nn" / "linear.py").rename(package / "nn" / "linear_.py")
    source_hash.cache_clear()
    assert key_of({}) != before


def test_code_of_ones_own_counts_by_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"model": {"factory": "json:loads"}, "training": {"loss": "json:dumps"}}
    before = key_of({}), key_of(content)
    monkeypatch.setattr(key, "source_of", lambda text: f"changed {text}")
    assert key_of({}) == before[0]
    assert key_of(content) != before[1]
    configuration = ArmConfig.model_validate(content).model_dump(mode="json")
    assert key.own_code(configuration) == ["json:loads", "json:dumps"]


def test_infinite_setting_has_no_key() -> None:
    with pytest.raises(ValueError, match="JSON"):
        arm_key({"lr": float("inf")}, [0], "f")
