"""`vgt claims`: what there is to judge."""

from __future__ import annotations

import json

import click
from rich.table import Table

from vgtemplate.cli.console import make_console
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.paths import claims_dir


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def claims(as_json: bool) -> None:
    """List the claims with their articles and what published work leads one to expect."""

    found = load_claims(claims_dir())
    if as_json:
        fields = {"id", "articles", "sections", "statement", "kind", "parts", "literature", "notes"}
        click.echo(json.dumps([claim.model_dump(mode="json", include=fields) for claim in found.values()], indent=1))
        return

    table = Table("claim", "kind", "articles", "statement", "literature", title=f"{len(found)} claims")
    for claim in found.values():
        table.add_row(claim.id, claim.kind, ", ".join(claim.articles), claim.statement, claim.literature)
    make_console().print(table)
