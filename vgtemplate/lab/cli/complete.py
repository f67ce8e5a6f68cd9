"""What a shell completes in the laboratory's commands; never loads a claim, which would take a second."""

from __future__ import annotations

import click

from vgtemplate.cli.complete import names_of
from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.yaml import read_yaml
from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.claims import is_claim
from vgtemplate.lab.cli.paths import claims_dir


def _claims(_: click.Context, incomplete: str) -> list[str]:
    files = [path for path in sorted(claims_dir().glob("*.yaml")) if path.stem.startswith(incomplete)]
    return [path.stem for path in files if is_claim(read_yaml(path))]


claims = names_of(_claims)
articles = names_of(lambda *_: ARTICLES)
datasets = names_of(lambda *_: ["auto", *DATASETS])
dataset_option = click.option(
    "--dataset",
    default="auto",
    show_default=True,
    metavar="NAME",
    shell_complete=datasets,
    help="auto: mnist, else digits.",
)
"""`--dataset`, of every command of the laboratory that has it."""
