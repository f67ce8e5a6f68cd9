"""From a YAML file to arms: the base, the variants, the arm's own settings and `--set`, merged in this order.

Every failure is a UserError of one line that names the file, the key and what is allowed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError, unknown_name
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.messages import abridged, one_line, validate
from vgtemplate.config.own import OFFERED, Factory, check_settings, check_takes, is_own, search_beside
from vgtemplate.config.schema import BESIDE_MODULE, TRAINING_BESIDE_MODULE, ArmConfig
from vgtemplate.config.shipped import shipped_dir
from vgtemplate.config.yaml import parse_yaml, read_yaml

Experiment = TypeVar("Experiment", bound=ExperimentConfig)


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `patch` laid over it, mapping by mapping; a key of the patch wins."""
    merged = dict(base)
    for key, value in patch.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _section(layer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a layer of settings; what is no mapping is refused later, by its place in the file."""
    section = layer.get(name)
    return section if isinstance(section, Mapping) else {}


def _replaced(below: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return what a layer takes out of the settings below it, by section: a network or data of another kind came."""
    model, data = _section(layer, "model").keys(), _section(layer, "data").keys()
    taken: dict[str, tuple[str, ...]] = {}
    if "factory" in data or "dataset" in data:
        taken["data"] = ("factory", "settings", *(("dataset", "path") if "factory" in data else ()))
    if "factory" in model or ("kind" in model and "factory" in _section(below, "model")):
        taken["model"] = tuple(_section(below, "model"))
    if "factory" in model or "kind" in model:
        taken["module"] = tuple(_section(below, "module"))
    if "factory" in _section(layer, "module"):
        taken |= {name: tuple(_section(below, name)) for name in ("module", *BESIDE_MODULE)}
        taken["training"] = TRAINING_BESIDE_MODULE
    return taken


def overlay(below: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with a layer of an arm's settings over it; a factory never keeps what belonged to another kind."""
    kept = dict(below)
    for name, keys in _replaced(below, layer).items():
        kept[name] = {key: value for key, value in _section(below, name).items() if key not in keys}
        if not kept[name]:
            del kept[name]
    return merge(kept, layer)


def parse_override(text: str) -> dict[str, Any]:
    """Turn `model.depth=20` into {"model": {"depth": 20}}; the value is read as YAML."""
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not re.fullmatch(r"\w+(\.\w+)+", key):
        raise UserError(f"--set {text!r}: must look like section.key=value, e.g. model.depth=20")
    patch: Any = parse_yaml(value, f"--set {key}")
    for step in reversed(key.split(".")):
        patch = {step: patch}
    return dict(patch)


def load_experiment(path: Path, schema: type[Experiment]) -> Experiment:
    """Read an experiment as `schema` has it, and check every arm; raise UserError if any cannot be used.

    Code of one's own that it names may lie beside it.
    """
    content = read_yaml(path)
    search_beside(path)
    experiment = validate(schema, content, str(path))
    if experiment.needs_arms and not experiment.arms:
        raise UserError(f"{path}: arms: is missing; name at least one arm")
    resolve_arms(path, experiment)
    return experiment


def find_base(path: Path, name: str) -> Path:
    """Return the file of a base: beside the experiment, else in `bases` there, one folder up or of the package.

    Raises:
        UserError: there is none of that name.
    """
    folder = path.parent
    places = [folder, folder / "bases", folder.parent / "bases", shipped_dir() / "bases"]
    try:
        return next(file for place in places if (file := place / f"{name}.yaml").exists())
    except (StopIteration, OSError):
        known = sorted({file.stem for place in places[1:] for file in place.glob("*.yaml")})
        raise UserError(f"{path}: base: {unknown_name('base', name, known)}") from None


def _variants(patch: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Replace an arm's `variants` by the settings that these presets stand for."""
    names = patch.get("variants", [])
    if not isinstance(names, list):
        raise UserError(f"{where}: must be a list of {', '.join(catalogue.BLOCKS)}")
    settings: dict[str, Any] = {}
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{where}: must be names, not {abridged(name)}")
        if name not in catalogue.BLOCKS:
            raise UserError(f"{where}: {unknown_name('variant', name, catalogue.BLOCKS)}")
        settings = merge(settings, catalogue.BLOCKS[name].patch)
    return merge(settings, {key: value for key, value in patch.items() if key != "variants"})


def resolve_arms(
    path: Path,
    experiment: ExperimentConfig,
    overrides: Iterable[str] = (),
    variants: Iterable[str] = (),
    patches: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, ArmConfig]:
    """Return each arm's whole configuration: base, variants, the arm's keys, its patch, then `overrides`.

    Args:
        path: the experiment's file, from which its base is found.
        overrides: the texts of `--set`, for every arm.
        variants: presets for every arm.
        patches: settings for single arms, e.g. what a search has picked.

    Raises:
        UserError: an unknown key or name, a value out of range, an unreadable override.
    """
    base: dict[str, Any] = {}
    if experiment.base is not None:
        base_path = find_base(path, experiment.base)
        base = _variants(read_yaml(base_path), f"{base_path}: variants")
        validate(ArmConfig, base, str(base_path))
    given = [("--variant", _variants({"variants": list(variants)}, "--variant"))]
    for override in overrides:
        given.append((f"--set {override}", parse_override(override)))
        _validate_keys(*given[-1])
    arms = {}
    for name, own in experiment.arms.items():
        where = f"{path}: arms.{name}"
        patch = overlay(_variants(own, f"{where}.variants"), (patches or {}).get(name, {}))
        layers = [("", base), (where, patch), *given]
        merged = functools.reduce(overlay, (layer for _, layer in layers))
        arms[name] = validate(ArmConfig, merged, f"{path}", f"arms.{name}")
        _refuse_idle_steps(name, layers, arms[name].training.epochs)
        _check_own(where, arms[name])
    return arms


def _refuse_idle_steps(arm: str, layers: Sequence[tuple[str, Mapping[str, Any]]], epochs: int | None) -> None:
    """Raise UserError where the last word on an arm's length is `steps`, but an earlier `epochs` decides it."""
    last = {"steps": -1, "epochs": -1}
    for index, (_, layer) in enumerate(layers):
        training = layer.get("training")
        last |= {key: index for key in last if isinstance(training, Mapping) and key in training}
    if epochs is not None and last["steps"] > last["epochs"]:
        where = layers[last["steps"]][0]
        raise UserError(
            f"{where}: training.steps is ignored, since arm {arm!r} has training.epochs: {epochs}; "
            f"add {'--set training.epochs=null' if where.startswith('--') else 'epochs: null'}"
        )


def _check_own(where: str, config: ArmConfig) -> None:
    """Find all code of the user's own that an arm names, and hold its settings against what that takes."""
    parts = {"model": config.model, "module": config.module, "data": config.data.own}
    for name, part in parts.items():
        if isinstance(part, Factory):
            check_settings(f"{where}.{name}", part, OFFERED[name])
    for name, text in (("loss", config.training.loss), ("score", config.training.score)):
        if is_own(text):
            check_takes(f"{where}.training.{name}", text, "outputs", "targets")


def _validate_keys(where: str, patch: Mapping[str, Any]) -> None:
    """Check one override by itself, so that the message names it rather than the file.

    What an override lacks by itself, or what contradicts it, may stand in the arm, which is checked afterwards.
    """
    try:
        ArmConfig.model_validate(patch)
    except ValidationError as error:
        if any(problem["type"] not in ("value_error", "missing") for problem in error.errors()):
            raise UserError(f"{where}: {one_line(error, ArmConfig, '')}") from None
