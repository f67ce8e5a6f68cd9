"""Which files of a folder are claims, their order, and that damaged data keep every claim from being judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.lab.claims import load_claims

EXACT = 'check: chain_rule_product\nparts: [{metric: error_at_depth_4, threshold: "< 1"}]\n'
SEEDED = 'arms: {a: {}}\nparts: [{metric: gradient_slope, arms: [a], threshold: "< 1"}]\n'


def write_claim(folder: Path, name: str, kind: str = "initial", rest: str = SEEDED) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"id: {name}\narticles: []\nstatement: It is so.\nliterature: True.\nkind: {kind}\n{rest}")
    return path


def test_claims_of_a_folder_come_by_kind_then_name_without_bases_and_experiments(tmp_path: Path) -> None:
    write_claim(tmp_path, "z", "exact", EXACT)
    for name, kind in (("b", "initial"), ("c", "training"), ("a", "initial")):
        write_claim(tmp_path, name, kind)
    (tmp_path / "base.yaml").write_text("model: {depth: 3}")
    (tmp_path / "experiment.yaml").write_text("arms: {a: {}}")
    assert list(load_claims(tmp_path)) == ["z", "a", "b", "c"]


@pytest.mark.parametrize("missing", ["statement", "parts", "literature", "kind"])
def test_incomplete_claim_of_a_folder_is_refused_rather_than_passed_over(missing: str, tmp_path: Path) -> None:
    path = write_claim(tmp_path, "a")
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(missing)))
    with pytest.raises(UserError, match=f"a.yaml: {missing}: is missing"):
        load_claims(tmp_path)


def test_folder_of_claims_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent: no such folder of claims"):
        load_claims(tmp_path / "absent")


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_claim_is_not_judged_on_damaged_data(
    file: str, call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "claims").mkdir()
    write_claim(tmp_path / "claims", "a")
    (tmp_path / "data/MNIST/raw").mkdir(parents=True)
    (tmp_path / "data/MNIST/raw" / file).write_bytes(b"damaged")
    monkeypatch.setenv("VGT_CLAIMS_DIR", "claims")
    ended = call_vgt("reproduce", "a", "--dataset", "mnist", "--no-tracking")
    assert ended.refused, ended
    assert f"{file}: " in ended.err
    assert not (tmp_path / "results").exists()
