"""The claims that CI reproduces use all that the register's claims use."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims, resolve_claim

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "experiments" / "claims"


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    """The register's claims in the quick setting, as `vgt reproduce` takes them without names."""
    return {name: claim for name, claim in load_claims(FOLDER).items() if not claim.only_full}


def kinds_of(config: ArmConfig) -> set[str]:
    """Say what an arm is built of and how it is trained."""
    model, named = config.built_in, {}
    if model is not None:
        names = ("kind", "activation", "norm", "residual", "output")
        named = {name: getattr(model, name) for name in names}
    named |= {"optimiser": config.optimiser.name, "clipping": config.clipping.kind}
    named |= {"pretraining": config.pretraining.kind, "data": config.data.dataset}
    return {f"{name}: {value}" for name, value in named.items()}


def used_by(claims: Collection[ClaimConfig]) -> set[str]:
    """Say what claims use."""
    used = set()
    for claim in claims:
        used |= {f"article: {name}" for name in claim.articles} | {f"kind: {claim.kind}", f"check: {claim.check}"}
        used |= {f"metric: {part.metric}" for part in claim.parts}
        used |= {f"combination: {part.combine}" for part in claim.parts}
        used |= {f"role: {part.role}" for part in claim.parts} | {f"searched: {bool(claim.search)}"}
        for config in resolve_claim(FOLDER / f"{claim.id}.yaml", claim).values():
            used |= kinds_of(config)
    return used


def test_claims_of_ci_use_every_metric_combination_check_and_kind_of_arm(claims: dict[str, ClaimConfig]) -> None:
    found = re.search(r"^claims=\(([^)]*)\)", (REPOSITORY / ".ci" / "run").read_text(), re.MULTILINE)
    assert found is not None
    chosen = found[1].split()
    assert set(chosen) <= set(claims)
    assert used_by(claims.values()) - used_by([claims[name] for name in chosen]) == set()
    assert len(chosen) < len(claims)
