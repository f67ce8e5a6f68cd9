"""Claims fit the JSON schema that their first line names."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from vgtemplate.config.shipped import shipped_dir
from vgtemplate.config.yaml import read_yaml
from vgtemplate.lab.claim_schema import claim_schema
from vgtemplate.lab.claims import is_claim

CLAIMS = [path for path in sorted((shipped_dir() / "claims").glob("*.yaml")) if is_claim(read_yaml(path))]


def test_committed_schema_is_the_one_that_is_made() -> None:
    """`vgt schema claim --output experiments/schemas/claim.json` writes it."""
    assert json.loads((shipped_dir() / "schemas/claim.json").read_text(encoding="utf-8")) == claim_schema()


@pytest.mark.parametrize("path", CLAIMS, ids=lambda path: path.stem)
def test_claim_names_its_schema_and_fits_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=../schemas/claim.json\n")
    jsonschema.validate(read_yaml(path), claim_schema())


@pytest.mark.parametrize("change", [{"kind": "initail"}, {"articles": ["bn"]}, {"parts": []}, {"statement": 3}])
def test_what_is_no_claim_does_not_fit(change: dict[str, object]) -> None:
    claim = read_yaml(shipped_dir() / "claims/relu-keeps-gradient.yaml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**claim, **change}, claim_schema())
