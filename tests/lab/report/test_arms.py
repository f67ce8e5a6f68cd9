"""What the arms' table says of settings that are on unless said otherwise."""

from __future__ import annotations

from typing import Any

from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.report.arms import compare_arms


def configuration(**model: Any) -> dict[str, Any]:
    return ArmConfig.model_validate({"model": model}).model_dump(mode="json")


def test_a_norm_without_scale_and_shift_is_said_and_one_with_them_is_not() -> None:
    plain, bare = (compare_arms({"a": configuration(norm="batch", norm_affine=affine)}) for affine in (True, False))
    assert not any("affine" in words for words in plain.shared["model"])
    assert "norm affine no" in bare.shared["model"]
    both = compare_arms({"a": configuration(norm="batch"), "b": configuration(norm="batch", norm_affine=False)})
    assert (both.columns, both.rows) == (["model.norm_affine"], [("a", ["yes"]), ("b", ["no"])])
