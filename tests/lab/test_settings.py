"""The quick, the full and the short setting of the register's claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.claim import ClaimConfig, Setting
from vgtemplate.lab.claims import load_claim, load_claims, resolve_claim

CLAIMS = Path(__file__).parents[2] / "experiments" / "claims"
TEXT = """
id: a
articles: [causes-cures]
statement: s
kind: training
base: base
full: {base: long, arms: {two: {training: {epochs: 20}}}}
short: {training: {steps: 7}}
arms:
  one: {model: {depth: 3}}
  two: {model: {depth: 5}, training: {steps: 2000}}
parts: [{metric: test_accuracy, arms: [one], threshold: "> 0.5"}]
literature: l
"""


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    """The claims of the articles: the settings of one's own claims are one's own."""
    return {name: claim for name, claim in load_claims(CLAIMS).items() if claim.articles}


def arms(claims: dict[str, ClaimConfig], name: str, setting: Setting) -> dict[str, ArmConfig]:
    return resolve_claim(CLAIMS / f"{name}.yaml", claims[name], setting=setting)


def write(folder: Path, claim: str = TEXT) -> Path:
    (folder / "base.yaml").write_text("training: {steps: 500}")
    (folder / "long.yaml").write_text("training: {epochs: 5}")
    (folder / "a.yaml").write_text(claim)
    return folder / "a.yaml"


def test_a_setting_lies_between_the_arm_and_what_was_searched(tmp_path: Path) -> None:
    path = write(tmp_path)
    claim = load_claim(path)
    lengths = {}
    setting: Setting
    for setting in ("quick", "full", "short"):
        resolved = resolve_claim(path, claim, patches={"one": {"training": {"noise": 0.0}}}, setting=setting)
        lengths[setting] = [(arm.training.steps, arm.training.epochs) for arm in resolved.values()]
        assert [arm.model.depth for arm in resolved.values()] == [3, 5]
    assert lengths == {"quick": [(500, None), (2000, None)], "full": [(500, 5), (2000, 20)], "short": [(7, None)] * 2}
    picked = resolve_claim(path, claim, patches={"two": {"training": {"epochs": 3}}}, setting="full")
    assert picked["two"].training.epochs == 3


def test_a_mistake_in_any_setting_is_found_when_the_claim_is_read(tmp_path: Path) -> None:
    for old, new, message in (
        ("epochs: 20", "epoch: 20", "did you mean"),
        ("two: {training", "tow: {training", "two"),
        ("steps: 7", "steps: -7", "greater than"),
        ("base: long", "base: longer", "base: unknown base 'longer'"),
    ):
        path = write(tmp_path, TEXT.replace(old, new))
        with pytest.raises(UserError, match=message) as caught:
            load_claim(path)
        assert "\n" not in str(caught.value)


def test_full_setting_is_sixty_thousand_images_and_five_epochs_or_what_the_line_says(
    claims: dict[str, ClaimConfig],
) -> None:
    """Register, Standard quick setting: exceptions are lines that name their own images or steps."""
    own_images = {"prelu-overfits-small": 500, "batchnorm-regularises": 1000}
    own_steps = {"depth-slows-sigmoid": 3000, "elu-converges-faster": 2000}
    own_steps |= {"selu-converges-faster": 2000, "l2-slows-growth": 2000, "shift-grows-with-depth": 200}
    own_steps |= dict.fromkeys(("batchnorm-less-shift", "batchnorm-decouples"), 200)
    four_times = {("deep-sigmoid-stalls", "depth-10-longer"), ("late-layers-learn", "depth-5")}
    for name, claim in claims.items():
        if claim.kind != "training":
            assert arms(claims, name, "full") == arms(claims, name, "quick")
            continue
        for arm, config in arms(claims, name, "full").items():
            if name in own_images:
                assert config == arms(claims, name, "quick")[arm]
                assert config.data.num_train == own_images[name]
                continue
            assert config.data.num_train == (50_000 if config.data.dataset == "cifar10" else 60_000), name
            if name in own_steps:
                assert (config.training.epochs, config.training.steps) == (None, own_steps[name]), name
            else:
                assert config.training.epochs == (20 if (name, arm) in four_times else 5), (name, arm)


def test_full_setting_changes_nothing_else(claims: dict[str, ClaimConfig]) -> None:
    for name in claims:
        for arm, config in arms(claims, name, "full").items():
            quick = arms(claims, name, "quick")[arm]
            for part in ("model", "optimiser", "clipping"):
                assert getattr(config, part) == getattr(quick, part), (name, arm)
            assert config.data.batch_size == quick.data.batch_size
            assert config.data.num_test == quick.data.num_test


def test_short_setting_is_the_quick_one_or_less_than_the_full_one(claims: dict[str, ClaimConfig]) -> None:
    for name, claim in claims.items():
        for arm, short in arms(claims, name, "short").items():
            full = arms(claims, name, "full")[arm]
            assert short.model == full.model
            if claim.only_full:
                assert short.data.num_train < full.data.num_train
                assert (short.training.epochs or 0) <= (full.training.epochs or 0)
            else:
                assert short == arms(claims, name, "quick")[arm]
