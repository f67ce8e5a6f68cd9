"""Pages of the reference that are made of the program itself whenever the site is built; run by mkdocs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from vgtemplate.cli.commands.metrics import list_metrics
from vgtemplate.cli.extension import more_schemas
from vgtemplate.cli.main import GROUPS, all_commands, vgt
from vgtemplate.config.json_schema import base_schema, experiment_schema


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds."""
    made = {"commands": commands_page, "yaml": yaml_page, "metrics": metrics_page}
    for name, write in made.items():
        files.append(File.generated(config, f"reference/{name}.md", content=write()))
    return files


def commands_page() -> str:
    """Return every command's help."""
    lines = ["# Commands", "", "What `vgt COMMAND --help` prints. `vgt completion` completes them in your shell.", ""]
    for group, heading in GROUPS.items():
        lines += [f"## {heading}", ""]
        for name in (name for name, row in all_commands().items() if row[2] == group):
            for path, command in walk(name):
                lines += [f"### {path}", "", "```text", help_of(path, command), "```", ""]
    return "\n".join(lines)


def walk(name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it, with their words after `vgt`."""
    command = vgt.get_command(click.Context(vgt), name)
    assert command is not None
    yield name, command
    if isinstance(command, click.Group):
        for below, each in command.commands.items():
            yield f"{name} {below}", each


def help_of(path: str, command: click.Command) -> str:
    """Return a command's help, as wide as a page."""
    context = click.Context(command, info_name=f"vgt {path}", max_content_width=88, terminal_width=88)
    return command.get_help(context).rstrip()


def metrics_page() -> str:
    """Return the table of metrics."""
    lines = ["# Metrics", "", "What `vgt metrics` lists. Each makes one number per seed of a record.", ""]
    lines += ["| metric | what it is | unit | options | defined by |", "|---|---|---|---|---|"]
    for row in list_metrics():
        cells = [f"`{row['name']}`", *(cell(row[key]) for key in ("formula", "unit", "options", "source"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Return a text that ends no cell of a table and is no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def yaml_page() -> str:
    """Return every key that can stand in a YAML file, with its type, its limits and its text."""
    lines = [
        "# YAML files",
        "",
        "Every key of an experiment, a base and a claim: made of the classes that read them. An editor completes and",
        "checks them by the file's first line, and `vgt schema` prints what that line names:",
        "",
        "```yaml",
        "# yaml-language-server: $schema=experiment.json",
        "```",
        "",
        "## Experiment",
        "",
        *table(experiment_schema()),
        "## Arm",
        "",
        "The settings of one network, its data and its training. What is not given is as in the base, or as here.",
        "",
        *sections(base_schema()),
    ]
    for kind, make in more_schemas().items():
        schema = make()
        lines += [f"## {kind.capitalize()}", "", *table(schema), *definitions(schema, set(base_schema()["$defs"]))]
    return "\n".join(lines)


def sections(schema: dict[str, Any]) -> Iterator[str]:
    """Yield an arm's own table, and one per section."""
    yield from table(schema)
    yield from definitions(schema, set())


def definitions(schema: dict[str, Any], known: set[str]) -> Iterator[str]:
    """Yield a table for each definition that is not known already."""
    for name, part in schema["$defs"].items():
        if name not in {*known, "Arm"} and "properties" in part:
            yield from (f"### {title_of(name)}", "", part.get("description", ""), "", *table(part))


def title_of(name: str) -> str:
    """Return a class's name as a heading: ClippingConfig as Clipping."""
    return name.removesuffix("Config")


def table(part: dict[str, Any]) -> Iterator[str]:
    """Yield the table of an object's keys."""
    yield from ("| key | what | allowed | if not given |", "|---|---|---|---|")
    for key, value in part["properties"].items():
        default = "" if value.get("default") in (None, "") else f"`{json.dumps(value['default'])}`"
        yield f"| `{key}` | {cell(value.get('description', ''))} | {cell(kind_of(value))} | {default} |"
    yield ""


def kind_of(value: dict[str, Any]) -> str:
    """Say in words what a key takes."""
    if "$ref" in value:
        return title_of(value["$ref"].rpartition("/")[2])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(kind_of(each) for each in value["anyOf"]))
    if "const" in value:
        return str(value["const"])
    if "enum" in value:
        return ", ".join(map(str, value["enum"]))
    kind = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}.get(
        value.get("type", ""), {"null": "null", "object": "mapping"}.get(value.get("type", ""), "anything")
    )
    if value.get("type") == "array":
        return f"list of {kind_of(value.get('items', {}))}"
    if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
        kind = f"mapping of {kind_of(value['additionalProperties'])}"
    if value.get("pattern") == ":":
        kind = "module:name"
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    limits = [f"{word} {value[key]:g}" for key, word in words.items() if key in value]
    return ", ".join([kind, *limits])
