"""`vgt check module:make_model`: look at a network before it is trained, with one forward and one backward pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vgtemplate.atomic import write_whole
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.cli.findings import print_report
from vgtemplate.config.errors import UserError
from vgtemplate.config.own import check_path, find, their_errors


@click.command()
@click.argument("model")
@click.option("--input", "shape", metavar="SHAPE", help="Of a batch of random numbers, e.g. 64,3,32,32.")
@click.option("--batch", metavar="MODULE:NAME", help="Instead: a function that returns a batch, (x, y).")
@click.option("--classes", type=click.IntRange(min=1), help="Random targets out of so many.  [default: the outputs]")
@click.option("--regression", is_flag=True, help="Random real targets, and the squared error.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the profiles.")
def check(
    model: str, shape: str | None, batch: str | None, classes: int | None, regression: bool, as_json: bool, html: Path
) -> None:
    """Look at a network before it is trained.

    MODEL is module:name of a function or class that makes it without arguments. Exit code 0: healthy, 1: findings.
    """
    if (shape is None) == (batch is None):
        raise UserError("which input? name an --input SHAPE, e.g. 64,3,32,32, or a --batch MODULE:NAME, and not both")
    if (classes is not None) + regression + (batch is not None) > 1:
        raise UserError("--classes, --regression and --batch each say what the targets are: give one of them")
    sizes = _sizes(shape) if shape is not None else ()
    make, make_batch = _find("MODEL", model), None if batch is None else _find("--batch", batch)
    import torch

    from vgtemplate.doctor.check import check as look
    from vgtemplate.doctor.html import write_page

    torch.manual_seed(0)
    with their_errors(f"vgt check {model}"):
        network = make()
    if not isinstance(network, torch.nn.Module):
        raise UserError(f"vgt check {model}: it returned a {type(network).__name__}; allowed: a torch.nn.Module")
    with their_errors(f"vgt check {model}"):
        pair = make_batch() if make_batch is not None else _draw(network, sizes, classes, regression)
        report = look(network, pair)
    if html is not None:
        write_whole(html, write_page(report, model))
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(make_console(), report, f"vgt check {model}")
    sys.exit(int(not report.is_healthy))


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts) or len(parts) < 2:
        raise UserError(f"--input: {text!r} is no shape of a batch; allowed: whole numbers from 1, e.g. 64,3,32,32")
    return tuple(int(part) for part in parts)


def _find(where: str, text: str) -> Any:
    try:
        check_path(text)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    return find(where, text)


def _draw(network: Any, sizes: tuple[int, ...], classes: int | None, regression: bool) -> tuple[Any, Any]:
    """Return a batch of random inputs and targets, of which the network's output says what they must be."""
    import torch

    x = torch.randn(sizes)
    was_training = network.training
    with torch.no_grad():
        output = network.eval()(x)
    network.train(was_training)
    if not isinstance(output, torch.Tensor):
        raise UserError(f"the network puts out a {type(output).__name__}; give targets and loss by `diagnose` instead")
    if regression:
        return x, torch.randn_like(output)
    if output.dim() < 2:
        raise UserError(f"the output's shape is {tuple(output.shape)}, without an axis of classes; --regression?")
    return x, torch.randint(classes or output.shape[1], (output.shape[0], *output.shape[2:]))
