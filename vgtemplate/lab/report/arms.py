"""What the arms of a claim have in common and what they differ in, as text; read from the configurations that ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgtemplate.config.strict import MOST
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.picks import Pick, describe_pick
from vgtemplate.text import flatten, write_value

_OFF = ("", "none", "no", "0")
_IDLE = {
    "model.norm_position": ("model.norm", _OFF),
    "model.num_stages": ("model.kind", ("mlp",)),
    "model.initialiser.gain": ("model.initialiser.gain", ("1",)),
    "model.output": ("model.output", ("logits",)),
    "probes.num_images": ("training.steps", ("1",)),
    "data.num_train": ("data.num_train", (str(MOST),)),
    "clipping.threshold": ("clipping.kind", _OFF),
    "pretraining.steps": ("pretraining.kind", _OFF),
    "pretraining.lr": ("pretraining.kind", _OFF),
    "pretraining.corruption": ("pretraining.kind", (*_OFF, "rbm")),
}
"""Settings that do nothing while another one has one of these values."""
_USUALLY_ON = ("model.norm_affine",)
"""Settings that are told where they are off."""


@dataclass(frozen=True)
class ArmTable:
    """The arms of a claim: what all share, and a table of what they differ in."""

    shared: Mapping[str, Sequence[str]]
    """Section to its settings in words, e.g. {"model": ["depth 30", "width 64"]}."""
    columns: Sequence[str]
    """Names of the settings that differ."""
    rows: Sequence[tuple[str, Sequence[str]]]
    """Each arm with its values in the order of the columns."""


def _in_words(configuration: Mapping[str, Any]) -> dict[str, str]:
    return {name: write_value(value) for name, value in flatten(configuration).items()}


def name_setting(key: str) -> str:
    """Return a setting's key as words; what merely names its section's value needs none."""
    words = key.replace(".", " ").replace("_", " ")
    return "" if words in ("name", "kind") else words.removesuffix(" name")


def _is_idle(name: str, settings: Mapping[str, str]) -> bool:
    """Say whether a setting is off, or without effect because another one is."""
    if (settings[name] in _OFF) != (name in _USUALLY_ON):
        return True
    if name == "training.steps" and settings.get("training.epochs", "none") not in _OFF:
        return True
    other, values = _IDLE.get(name, (name, ()))
    return settings.get(other) in values


def compare_arms(configurations: Mapping[str, Mapping[str, Any]]) -> ArmTable:
    """Return what the arms' configurations share, without what is off in all of them, and what they differ in."""
    flat = {arm: _in_words(configuration) for arm, configuration in configurations.items()}
    names = list(dict.fromkeys(name for settings in flat.values() for name in settings))
    values = {name: [settings.get(name, "-") for settings in flat.values()] for name in names}
    differing = [name for name in names if len(set(values[name])) > 1]
    shared: dict[str, list[str]] = {}
    for name in names:
        if name not in differing and not all(_is_idle(name, settings) for settings in flat.values()):
            section, _, key = name.partition(".")
            shared.setdefault(section, []).append(f"{name_setting(key)} {values[name][0]}".strip())
    rows = [(arm, [settings.get(name, "-") for name in differing]) for arm, settings in flat.items()]
    return ArmTable(shared, differing, rows)


def describe_searches(claim: ClaimConfig, picks: Mapping[str, Pick]) -> list[str]:
    """Return a sentence for all arms of one pick: what they were given, how the tuning seeds spread, what was tried."""
    arms: dict[str, list[str]] = {}
    for search in claim.search:
        how = f"the least {search.metric}"
        if search.first:
            how = f"the first with {search.metric} {search.first} at which no network diverges"
        for arm in filter(picks.__contains__, search.arms):
            values = {name: [each.settings[name] for each in picks[arm].candidates] for name in search.grid}
            tried = "; ".join(f"{name} {write_value(sorted(set(tested)))}" for name, tested in values.items())
            arms.setdefault(f"{describe_pick(picks[arm])}: {how} of {tried}", []).append(arm)
    return [f"{', '.join(alike)}: {words}" for words, alike in arms.items()]
