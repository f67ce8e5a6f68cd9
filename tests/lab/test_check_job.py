"""An exact check's key: of its own, and the same until the source that decides its numbers changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgtemplate.config import key
from vgtemplate.config.key import source_hash
from vgtemplate.lab.check_job import plan_check


def key_of(check: str = "init_formulas") -> str:
    return plan_check("a-claim", check).key


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's sources that keys are computed from."""
    copy = tmp_path / "vgtemplate"
    shutil.copytree(key._PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(key, "_PACKAGE", copy)
    source_hash.cache_clear()
    yield copy
    source_hash.cache_clear()


def test_checks_have_keys_of_their_own_whatever_claim_asks() -> None:
    assert key_of() != key_of("derivative_bounds")
    assert key_of() == plan_check("another-claim", "init_formulas").key


@pytest.mark.parametrize(
    ("file", "decides"),
    [
        ("config/seeding.py", True),
        ("nn/activations.py", True),
        ("lab/checks/initialisers.py", True),
        ("lab/judge.py", False),
        ("lab/plan.py", False),
        ("data/batches.py", False),
        ("training/module.py", False),
        ("metrics/trained.py", False),
    ],
)
def test_key_follows_the_source_that_decides_the_numbers(file: str, decides: bool, package: Path) -> None:
    before = key_of()
    with (package / file).open("a") as source:
        source.write("# another line\n")
    source_hash.cache_clear()
    assert (key_of() != before) == decides
