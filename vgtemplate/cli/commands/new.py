"""`vgt new`: start a project of one's own, with vgtemplate as its library."""

from __future__ import annotations

from pathlib import Path

import click

from vgtemplate.cli.console import say
from vgtemplate.cli.origin import find_origin
from vgtemplate.cli.project import name_package, render_project, write_project


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
def new(folder: Path) -> None:
    """Write a project of your own into FOLDER, whose name becomes the project's.

    It has a network, data, an experiment, a claim, tests and a Makefile, all to be replaced by yours, and takes
    vgtemplate as a library.
    """
    package = name_package(folder.name)
    files = render_project(folder.name, package, find_origin())
    write_project(folder, files)
    say(f"{folder}: {len(files)} files; the package is {package}. Next:")
    say(f"  cd {folder}\n  make train\n  make reproduce")
