"""`vgt classify`: apply a trained population to pictures."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.data.folder import read_pictures
from vgtemplate.records import Array
from vgtemplate.text import plain_number

_MOST_CLASSES = 3
_COLUMNS = (
    Column("picture", folds=True),
    Column("class", folds=True),
    Column("probability"),
    Column("next", rank=2, folds=True),
    Column("replicas that agree", rank=1),
)


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.pt")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="PICTURE...")
@click.option("--json", "as_json", is_flag=True, help="Print every class's probability instead of a table.")
def classify(model: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Say what is on pictures, by a network that `vgt train` has trained (results/KEY/best.pt or last.pt).

    A picture of another size is resized, one of other colours converted. The probabilities are the mean over the
    replicas; where they disagree, the table says how many are of the first opinion.
    """
    from vgtemplate.training.models import read_model

    trained = read_model(model)
    trained.require_classifier(model)
    probabilities = trained.probabilities(read_pictures(files, trained.input_shape))
    classes = [str(name) for name in trained.dataset["classes"]]
    if as_json:
        mean = probabilities.mean(axis=0)
        rows = [dict(zip(classes, map(plain_number, row), strict=True)) for row in mean.tolist()]
        print_json([{"file": str(file), "probabilities": row} for file, row in zip(files, rows, strict=True)])
        return
    console = make_console()
    rows_of_table = [_row(str(file), classes, probabilities[:, index]) for index, file in enumerate(files)]
    console.print(make_table("", _COLUMNS, rows_of_table, console.width))


def _row(file: str, classes: list[str], probabilities: Array) -> list[str]:
    """Return a picture's row of the table, from each replica's probabilities, (R, K)."""
    mean = probabilities.mean(axis=0)
    first, *others = mean.argsort()[::-1][:_MOST_CLASSES]
    agree = int((probabilities.argmax(axis=1) == first).sum())
    return [
        escape(file),
        f"[bold]{escape(classes[first])}[/bold]",
        f"{mean[first]:.3f}",
        ", ".join(f"{escape(classes[other])} {mean[other]:.3f}" for other in others),
        f"{agree} of {len(probabilities)}",
    ]
