"""`vgt predict-images`: apply a trained population to pictures."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from vgtemplate.cli.console import make_console
from vgtemplate.config.errors import UserError
from vgtemplate.data.folder import read_pictures
from vgtemplate.training.models import read_model

_MOST_CLASSES = 3


@click.command("predict-images")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.pt")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="PICTURE...")
@click.option("--json", "as_json", is_flag=True, help="Print every class's probability instead of a table.")
def predict_images(model: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Say what is on pictures, by a network that `vgt train` has trained (results/KEY/best.pt or last.pt).

    A picture of another size is resized, one of other colours converted. The probabilities are the mean over the
    replicas; where they disagree, the table says how many are of the first opinion.
    """

    trained = read_model(model)
    if trained.config.model.output != "logits":
        raise UserError(f"{model}: this network puts out images, not classes")
    probabilities = trained.probabilities(read_pictures(files, trained.input_shape))
    classes = trained.dataset["classes"]
    mean = probabilities.mean(axis=0)
    if as_json:
        rows = [
            {"file": str(file), "probabilities": dict(zip(classes, row.tolist(), strict=True))}
            for file, row in zip(files, mean, strict=True)
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    opinions = probabilities.argmax(axis=2)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("picture", "class", "probability", "next", "replicas that agree"):
        table.add_column(column, overflow="fold")
    for index, file in enumerate(files):
        order = mean[index].argsort()[::-1][:_MOST_CLASSES]
        agree = int((opinions[:, index] == order[0]).sum())
        table.add_row(
            escape(str(file)),
            f"[bold]{escape(str(classes[order[0]]))}[/bold]",
            f"{mean[index, order[0]]:.3f}",
            ", ".join(f"{escape(str(classes[other]))} {mean[index, other]:.3f}" for other in order[1:]),
            f"{agree} of {len(opinions)}",
        )
    make_console().print(table)
