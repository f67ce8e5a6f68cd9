"""Reads YAML into configurations: the base, the variants, the arm's own settings and `--set`, merged in this order.

Every failure is a UserError of one line that names the file, the key and what is allowed.
"""

from __future__ import annotations

import copy
import functools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError, unknown_name
from vgtemplate.config.experiment import ClaimConfig, ExperimentConfig, Setting
from vgtemplate.config.schema import ArmConfig

_Settings = TypeVar("_Settings", bound=BaseModel)


def _is_text(text: str) -> bool:
    """Say whether a text can be written anywhere: an escape in YAML, or a file's name, may hold half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses a key given twice and reads 1e-3 as a number (YAML 1.2)."""

    # Here rather than in construct_mapping, which also sees keys that `<<` has merged in.
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if not _is_text(node.value):
            raise yaml.constructor.ConstructorError(None, None, "half a surrogate pair is no text", node.start_mark)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        # A mapping that merges one mapping twice, and is itself merged twice, and so on, would double at each step.
        last = {
            (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key): (key, value)
            for key, value in node.value
        }
        node.value = list(last.values())


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}:{place} {error.problem or 'is not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: is not YAML: {' '.join(str(error).split())}") from None
    except (AttributeError, LookupError, TypeError, OverflowError):
        # PyYAML's own constructors fall over an explicit tag that does not fit, e.g. `!!timestamp soon`.
        raise UserError(f"{where}: is not YAML: a value does not fit its !!tag") from None


_parse_once = functools.lru_cache(maxsize=1024)(_parse)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raise UserError if it is missing, broken or anything else."""
    if not _is_text(path.name):
        raise UserError(f"{path}: a name that is no UTF-8 cannot be shown or tracked; rename the file")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    # A copy: what is parsed once serves all claims of the same base.
    content = copy.deepcopy(_parse_once(text, str(path)))
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path}: must hold a mapping of names to settings")
    return content


def _allowed_keys(schema: type[BaseModel], location: tuple[int | str, ...]) -> Iterable[str]:
    """Return the keys of the model that `location` (ending in an unknown key) points into."""
    for step in location[:-1]:
        info = schema.model_fields.get(str(step))
        nested = info and re.search(r"(\w+Config)", str(info.annotation))
        if nested:
            found = [model for model in _all_models() if model.__name__ == nested[1]]
            schema = found[0] if found else schema
    return schema.model_fields


def _all_models() -> list[type[BaseModel]]:
    models, queue = [], [BaseModel]
    while queue:
        children = queue.pop().__subclasses__()
        models += children
        queue += children
    return models


_READING = ("function-", "constrained-", "list[")
"""How pydantic's locations name the readings of a setting that allows several, such as a width or a list of them."""


def _readings_joined(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Keep, of a setting that allows several readings, the problem of the reading that fits best."""
    kept: dict[tuple[int | str, ...], ErrorDetails] = {}
    for problem in problems:
        location = problem["loc"]
        tags = [index for index, step in enumerate(location) if str(step).startswith(_READING)]
        setting = location[: tags[0]] if tags else location
        rank = [
            (len(found["loc"]), not found["type"].endswith("_type")) for found in (kept.get(setting, problem), problem)
        ]
        if rank[1] >= rank[0]:
            kept[setting] = problem
    return list(kept.values())


def _abridged(value: object) -> str:
    """Quote the beginning of a value; of a large structure, which aliases make larger than memory, only its kind."""
    if isinstance(value, str | float | None) or (isinstance(value, int) and value.bit_length() < 200):
        return repr(str(value)[:60])
    return "so large a number" if isinstance(value, int) else f"a {type(value).__name__}"


def _one_line(error: ValidationError, schema: type[BaseModel], prefix: str) -> str:
    """Turn pydantic's report into one line about its first finding."""
    problems = error.errors(include_url=False, include_context=False)
    first, *others = _readings_joined(problems)
    location = tuple(first["loc"])
    keys = [str(step) for step in location if not str(step).startswith(_READING)]
    key = ".".join(([prefix] if prefix else []) + keys)
    if first["type"] == "extra_forbidden":
        text = unknown_name("key", location[-1], _allowed_keys(schema, location))
    elif first["type"] == "missing":
        text = "is missing"
    else:
        text = first["msg"].removeprefix("Value error, ")
        if not first["msg"].startswith("Value error"):
            text = re.sub(r"valid dictionary( or instance of \w+)?", "mapping of settings", text)
            text = f"{text[:1].lower()}{text[1:]}, not {_abridged(first['input'])}"
    more = f" (and {len(others)} more)" if others else ""
    return " ".join(f"{key + ': ' if key else ''}{text}{more}".split())


def _validate(schema: type[_Settings], content: Mapping[str, Any], where: str, prefix: str = "") -> _Settings:
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(error, schema, prefix)}") from None


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `patch` laid over it, mapping by mapping; a key of the patch wins."""
    merged = dict(base)
    for key, value in patch.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """Turn `model.depth=20` into {"model": {"depth": 20}}; the value is read as YAML."""
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not re.fullmatch(r"\w+(\.\w+)+", key):
        raise UserError(f"--set {text!r}: must look like section.key=value, e.g. model.depth=20")
    patch: Any = _parse(value, f"--set {key}")
    for step in reversed(key.split(".")):
        patch = {step: patch}
    return dict(patch)


_CLAIM_KEYS = ClaimConfig.model_fields.keys() - ExperimentConfig.model_fields.keys()


def _is_claim(content: Mapping[str, Any]) -> bool:
    """Tell a claim, even one that lacks its statement or misspells it, from an experiment and from a base."""
    return not _CLAIM_KEYS.isdisjoint(content)


def load_experiment(path: Path) -> ExperimentConfig:
    """Read an experiment, or a claim (a file with any key that only claims have), and check every arm.

    Raises:
        UserError: the file, its base or any arm cannot be used.
    """
    content = read_yaml(path)
    schema = ClaimConfig if _is_claim(content) else ExperimentConfig
    experiment = _validate(schema, content, str(path))
    if isinstance(experiment, ClaimConfig) and experiment.id != path.stem:
        raise UserError(f"{path}: id: {experiment.id!r} must be the file's name, {path.stem!r}")
    if not experiment.arms and not (isinstance(experiment, ClaimConfig) and experiment.check is not None):
        raise UserError(f"{path}: arms: is missing; name at least one arm")
    resolve_arms(path, experiment)
    if isinstance(experiment, ClaimConfig) and experiment.full is not None:
        resolve_arms(path, experiment, setting="full")
    if isinstance(experiment, ClaimConfig) and experiment.short:
        resolve_arms(path, experiment, setting="short")
    return experiment


def _variants(patch: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Replace an arm's `variants` by the settings that these presets stand for."""
    names = patch.get("variants", [])
    if not isinstance(names, list):
        raise UserError(f"{where}.variants: must be a list of {', '.join(catalogue.BLOCKS)}")
    settings: dict[str, Any] = {}
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{where}.variants: must be names, not {_abridged(name)}")
        if name not in catalogue.BLOCKS:
            raise UserError(f"{where}.variants: {unknown_name('variant', name, catalogue.BLOCKS)}")
        settings = merge(settings, catalogue.BLOCKS[name].patch)
    return merge(settings, {key: value for key, value in patch.items() if key != "variants"})


def _in_setting(experiment: ExperimentConfig, setting: Setting) -> tuple[str | None, Mapping[str, Any]]:
    """Return the base of an experiment in a setting, and what the setting adds to each arm."""
    if not isinstance(experiment, ClaimConfig) or setting == "quick":
        return experiment.base, {}
    if setting == "short":
        return experiment.base, dict.fromkeys(experiment.arms, experiment.short)
    if experiment.full is None:
        return experiment.base, {}
    return experiment.full.base or experiment.base, experiment.full.arms


def resolve_arms(
    path: Path,
    experiment: ExperimentConfig,
    overrides: Iterable[str] = (),
    variants: Iterable[str] = (),
    patches: Mapping[str, Mapping[str, Any]] | None = None,
    setting: Setting = "quick",
) -> dict[str, ArmConfig]:
    """Return each arm's whole configuration: base, variants, the arm's keys, its setting, its patch, then `overrides`.

    Args:
        path: the experiment's file; its base is beside it.
        experiment: what the file says.
        overrides: the texts of `--set`, for every arm.
        variants: presets for every arm.
        patches: settings for single arms, e.g. what a search has picked.
        setting: of a claim; anything else has one only.

    Raises:
        UserError: an unknown key or name, a value out of range, an unreadable override.
    """
    base: dict[str, Any] = {}
    base_name, own = _in_setting(experiment, setting)
    if base_name is not None:
        base_path = path.parent / f"{base_name}.yaml"
        base = _variants(read_yaml(base_path), str(base_path))
        _validate(ArmConfig, base, str(base_path))
    extra = _variants({"variants": list(variants)}, "--variant")
    for override in overrides:
        patch = parse_override(override)
        _validate_keys(patch, f"--set {override}")
        extra = merge(extra, patch)
    return {
        name: _validate(
            ArmConfig,
            functools.reduce(
                merge,
                (_variants(patch, f"{path}: arms.{name}"), own.get(name, {}), (patches or {}).get(name, {}), extra),
                base,
            ),
            f"{path}",
            f"arms.{name}",
        )
        for name, patch in experiment.arms.items()
    }


def _validate_keys(patch: Mapping[str, Any], where: str) -> None:
    """Check one override by itself, so that the message names it rather than the file.

    What an override lacks by itself, or what contradicts it, may stand in the arm, which is checked afterwards.
    """
    try:
        ArmConfig.model_validate(patch)
    except ValidationError as error:
        if any(problem["type"] not in ("value_error", "missing") for problem in error.errors()):
            raise UserError(f"{where}: {_one_line(error, ArmConfig, '')}") from None


def load_claims(folder: Path) -> dict[str, ClaimConfig]:
    """Read every claim of a folder by kind (exact, timing, initial, training), then by name."""
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a folder cannot be looked at
        raise UserError(f"{folder}: no such folder of experiments")
    claims = [
        experiment
        for path in sorted(folder.glob("*.yaml"))
        if _is_claim(read_yaml(path)) and isinstance(experiment := load_experiment(path), ClaimConfig)
    ]
    order = ("exact", "timing", "initial", "training")
    return {claim.id: claim for claim in sorted(claims, key=lambda claim: (order.index(claim.kind), claim.id))}
