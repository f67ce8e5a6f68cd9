"""`vgt claims`: what there is to judge."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def claims(as_json: bool) -> None:
    """List the claims with their articles and what published work leads one to expect."""
    from vgtemplate.cli.paths import experiments_dir
    from vgtemplate.config.load import load_claims

    found = load_claims(experiments_dir())
    if as_json:
        fields = {"id", "articles", "sections", "statement", "kind", "parts", "literature", "notes"}
        click.echo(json.dumps([claim.model_dump(mode="json", include=fields) for claim in found.values()], indent=1))
        return
    from rich.table import Table

    from vgtemplate.cli.tables import make_console

    table = Table("claim", "kind", "articles", "statement", "literature", title=f"{len(found)} claims")
    for claim in found.values():
        table.add_row(claim.id, claim.kind, ", ".join(claim.articles), claim.statement, claim.literature)
    make_console().print(table)
