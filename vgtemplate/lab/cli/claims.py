"""`vgt claims`: what there is to judge."""

from __future__ import annotations

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.text import write_count

_COLUMNS = (
    Column("claim"),
    Column("kind", rank=1),
    Column("articles", rank=3, folds=True),
    Column("statement", folds=True),
    Column("literature", rank=2, folds=True),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def claims(as_json: bool) -> None:
    """List the claims with their articles and what published work leads one to expect."""
    folder = claims_dir()
    found = load_claims(folder)
    if as_json:
        fields = {"id", "articles", "sections", "statement", "kind", "parts", "literature", "notes"}
        print_json([claim.model_dump(mode="json", include=fields) for claim in found.values()])
        return
    rows = [
        [claim.id, claim.kind, ", ".join(claim.articles) or "-", escape(claim.statement), escape(claim.literature)]
        for claim in found.values()
    ]
    console = make_console()
    console.print(
        make_table(f"{write_count(len(found), 'claim')} in {escape(str(folder))}", _COLUMNS, rows, console.width)
    )
