"""What a shell completes where a name is expected. Never torch: a person waits with a finger on the key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import click
from click.shell_completion import CompletionItem

from vgtemplate.cli.extension import load_file
from vgtemplate.config.catalogue import ACTIVATIONS, BLOCKS, DATASETS, INITIALISERS
from vgtemplate.config.errors import UserError
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.shipped import find_experiment, shipped_names

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(find: Callable[[click.Context, str], Iterable[str]], files: bool = False) -> Complete:
    """Return what completes names, and with `files` also paths; where they cannot be found, no name.

    Args:
        find: the words before the one that is completed, and what there is of that, to the names.
    """

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            names = [CompletionItem(name) for name in find(context, incomplete) if name.startswith(incomplete)]
        except (UserError, OSError):
            names = []
        return [*names, CompletionItem(incomplete, type="file")] if files else names

    return complete


def _arms(context: click.Context, _: str) -> Iterable[str]:
    # Where an option lacks its value, click leaves the arguments before it as they are.
    named = context.params.get("experiment") or context.params.get("target") or next(iter(context.args), None)
    return [] if named is None else load_file(find_experiment(Path(named))).arms


def _arms_of_files(_: click.Context, incomplete: str) -> Iterable[str]:
    """Return experiments, and behind a colon the arms of the one before it."""
    file, colon, _arm = incomplete.rpartition(":")
    return [f"{file}:{arm}" for arm in load_file(find_experiment(Path(file))).arms] if colon else shipped_names()


experiments = names_of(lambda *_: shipped_names(), files=True)
arms = names_of(_arms)
arms_of_files = names_of(_arms_of_files, files=True)
variants = names_of(lambda *_: BLOCKS)
datasets = names_of(lambda *_: DATASETS)
activations = names_of(lambda *_: ACTIVATIONS)
norms = names_of(lambda *_: get_args(ModelConfig.model_fields["norm"].annotation))
initialisers = names_of(lambda *_: INITIALISERS)
