"""`vgt completion`: what a shell needs to complete commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from vgtemplate.cli.complete import names_of
from vgtemplate.config.catalogue import check_name

_SHELLS = {
    "bash": 'eval "$(vgt completion bash)"',
    "zsh": 'eval "$(vgt completion zsh)"',
    "fish": "vgt completion fish | source",
}


@click.command()
@click.argument("shell", metavar="SHELL", shell_complete=names_of(lambda *_: _SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion of vgt for a SHELL: bash, zsh or fish.

    \b
    bash: add to ~/.bashrc                  eval "$(vgt completion bash)"
    zsh:  add to ~/.zshrc                   eval "$(vgt completion zsh)"
    fish: add to ~/.config/fish/config.fish vgt completion fish | source
    """
    made = get_completion_class(check_name("shell", shell, _SHELLS))
    assert made is not None
    click.echo(made(context.find_root().command, {}, "vgt", "_VGT_COMPLETE").source())
