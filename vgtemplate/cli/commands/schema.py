"""`vgt schema`: the JSON schema of the YAML files, by which editors complete and check them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vgtemplate.atomic import write_whole
from vgtemplate.cli.complete import names_of
from vgtemplate.cli.console import print_json, say
from vgtemplate.cli.extension import more_schemas
from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import UserError


@click.command()
@click.argument("kind", metavar="KIND", shell_complete=names_of(lambda *_: ["experiment", "base", *more_schemas()]))
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
def schema(kind: str, output: Path | None) -> None:
    """Print the JSON schema of a kind of YAML file: experiment, base or claim.

    An editor with a YAML language server takes it from a file's first line:
    # yaml-language-server: $schema=experiment.json
    """
    from vgtemplate.config.json_schema import base_schema, experiment_schema

    kinds = {"experiment": experiment_schema, "base": base_schema, **more_schemas()}
    found = kinds[check_name("kind of file", kind, kinds)]()
    if output is None:
        print_json(found)
        return
    try:
        write_whole(output, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from None
    say(f"{output}: first line of a file beside it: # yaml-language-server: $schema={output.name}")
