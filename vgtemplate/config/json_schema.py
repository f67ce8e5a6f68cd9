"""The YAML files' JSON schema, by which an editor completes and checks them; made of the settings' own classes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vgtemplate.config.catalogue import BLOCKS
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.schema import ArmConfig

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIANTS = {
    "type": "array",
    "items": {"enum": list(BLOCKS)},
    "description": "Presets that are laid over the base, before the arm's own settings.",
}


def base_schema() -> Schema:
    """Return the schema of a base: any of an arm's settings."""
    return _finish(_partial_arm(), "base", "Settings that several experiments or arms start from.")


def experiment_schema(model: type[BaseModel] = ExperimentConfig, kind: str = "experiment") -> Schema:
    """Return the schema of a file of arms, each of which says only in what it differs from the base.

    Args:
        model: the class that the file is read as; its fields `arms`, at any depth, and `short` hold settings of arms.
        kind: how such files are called.
    """
    schema = model.model_json_schema()
    arm = _partial_arm()
    definitions = {**arm.pop("$defs"), "Arm": arm, **schema.pop("$defs", {})}
    schema["$defs"] = definitions
    for part in (schema, *definitions.values()):
        fields = part.get("properties", {})
        if fields.get("arms", {}).get("type") == "object":
            names = next(iter(fields["arms"].pop("patternProperties")))
            fields["arms"] |= {"propertyNames": {"pattern": names}, "additionalProperties": {"$ref": "#/$defs/Arm"}}
        if fields.get("short", {}).get("type") == "object":
            fields["short"] = {"$ref": "#/$defs/Arm", "description": fields["short"].get("description", "")}
    return _finish(schema, kind, str(schema.get("description", "")))


def _partial_arm() -> Schema:
    """Return an arm's schema in which nothing is required: the base, or a default, has the rest."""
    schema = ArmConfig.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part.pop("required", None)
    names = schema["$defs"]["InitialiserConfig"]["properties"]["name"]["enum"]
    initialiser = schema["$defs"]["ModelConfig"]["properties"]["initialiser"]
    text = initialiser.pop("description", "")
    schema["$defs"]["ModelConfig"]["properties"]["initialiser"] = {
        "anyOf": [{"enum": names}, {"$ref": "#/$defs/InitialiserConfig"}],
        "description": text,
    }
    # Without what is required, {} fits a built-in network and one of one's own.
    network = schema["properties"]["model"]
    network["anyOf"] = network.pop("oneOf")
    schema["properties"]["variants"] = _VARIANTS
    return dict(schema)


def _finish(schema: Schema, kind: str, text: str) -> Schema:
    """Put the head first, and leave out what an editor has no use for: titles, and defaults that are whole sections."""
    head = {"$schema": _DIALECT, "title": f"vgtemplate: {kind}", "description": text}
    rest = {name: value for name, value in _plain(schema).items() if name not in head}
    return {**head, **rest}


def _plain(node: Any, is_names: bool = False) -> Any:
    """Return a node without titles and large defaults; `is_names`: its keys are people's names, not the schema's."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    if is_names:
        return {name: _plain(value) for name, value in node.items()}
    return {
        name: " ".join(value.split()) if name == "description" else _plain(value, name in ("properties", "$defs"))
        for name, value in node.items()
        if name != "title" and not (name == "default" and isinstance(value, dict | list))
    }
