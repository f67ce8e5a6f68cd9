"""`vgt`: the commands by name, each imported when it is called; user errors become one line and exit code 2."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import signal
import sys
import warnings
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from vgtemplate.cli.console import say, spell_out_what_cannot_be_encoded
from vgtemplate.cli.examples import show_examples
from vgtemplate.cli.extension import more_commands
from vgtemplate.config.errors import Stopped, UserError, unknown_name
from vgtemplate.config.extras import explain
from vgtemplate.config.stopping import send_again_what_is_swallowed
from vgtemplate.text import as_note

COMMANDS = {
    "new": ("vgtemplate.cli.commands.new", "start a project of your own", "train"),
    "train": ("vgtemplate.cli.commands.train", "train the arms of an experiment", "train"),
    "classify": ("vgtemplate.cli.commands.classify", "say what is on pictures, by what was trained", "train"),
    "diagnose": ("vgtemplate.cli.commands.diagnose", "say what is wrong with the network that a script trains", "look"),
    "bisect": ("vgtemplate.cli.commands.bisect", "find the step, module and sample that made a NaN", "look"),
    "check": ("vgtemplate.cli.commands.check", "look at a network before it is trained: one step", "look"),
    "predict": ("vgtemplate.cli.commands.predict", "predict a network's gradient before it is trained", "look"),
    "phase-diagram": ("vgtemplate.cli.commands.phase_diagram", "draw where gradients vanish and explode", "look"),
    "ui": ("vgtemplate.cli.commands.ui", "open the MLflow UI on this machine", "look"),
    "data": ("vgtemplate.cli.commands.data", "list, fetch and verify data sets", "keep"),
    "records": ("vgtemplate.cli.commands.records", "list, verify and prune records", "keep"),
    "track": ("vgtemplate.cli.commands.track", "send to MLflow what it missed", "keep"),
    "metrics": ("vgtemplate.cli.commands.metrics", "list what can be measured", "keep"),
    "schema": ("vgtemplate.cli.commands.schema", "print the JSON schema of the YAML files", "keep"),
    "completion": ("vgtemplate.cli.commands.completion", "complete vgt's words in bash, zsh or fish", "keep"),
    "info": ("vgtemplate.cli.commands.info", "say which versions, machine and data are here", "keep"),
}
"""By name: the module, what the command does, and its group; imported when it is called."""
GROUPS = {"train": "Train", "look": "Look", "judge": "Judge what is said", "keep": "Housekeeping"}
"""Headings of `vgt --help` in their order."""
_ALIASES = {"predict-images": "classify"}
"""Names of earlier versions."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(all_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in all_commands():
            return None
        command = getattr(importlib.import_module(all_commands()[name][0]), name.replace("-", "_"))
        if not isinstance(command, click.Command):
            return None
        show_examples(name, command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for key, heading in GROUPS.items():
            rows = [(name, text) for name, (_, text, group) in all_commands().items() if group == key]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = all_commands().items()
        return [CompletionItem(name, help=text) for name, (_, text, _) in names if name.startswith(incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_known = not args or args[0] in {*all_commands(), *_ALIASES} or args[0].startswith("-")
        if not is_known and not ctx.resilient_parsing:
            raise UserError(unknown_name("command", args[0], all_commands()))
        return super().resolve_command(ctx, args)


@functools.cache
def all_commands() -> dict[str, tuple[str, str, str]]:
    """Return every command, those of the laboratory included where that is installed."""
    return {**COMMANDS, **more_commands()}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vgtemplate", prog_name="vgt")
def vgt() -> None:
    """See why a deep network does not learn, predict it, and test what is said about it.

    `vgt COMMAND --help` shows options and examples.

    \b
    Examples:
      vgt diagnose train.py               what is wrong with the network that this script trains
      vgt train mlp-variants --seeds 3    four networks of twenty layers
      vgt predict --activation tanh       what becomes of its gradient
    """


def main() -> None:
    """Run the command line: exit code 2 and one line for the user's mistakes, 130 for Ctrl-C, 143 for SIGTERM."""
    warnings.formatwarning = as_note
    spell_out_what_cannot_be_encoded()
    _heard.clear()
    try:
        for number in _SIGNALS:
            # What is ignored stays ignored, as Ctrl-C is by what runs in the background.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _stop)
        send_again_what_is_swallowed(_stop)
        _require_working_folder()
        sys.exit(_call())
    except UserError as error:
        sys.exit(_say(f"error: {error}", 2))
    except ModuleNotFoundError as error:
        if (text := explain(error)) is None:
            raise
        sys.exit(_say(f"error: {text}", 2))
    except Stopped as stopped:
        sys.exit(_say(str(stopped), 128 + stopped.signal_number))
    except click.Abort:
        sys.exit(_say(_STOPPED, 130))
    except OSError as error:
        sys.exit(_system_refuses(error))
    except click.exceptions.NoArgsIsHelpError as error:
        sys.exit(_say(error.format_message(), 2))
    except click.ClickException as error:
        sys.exit(_say(f"error: {' '.join(error.format_message().split())}", 2))
    finally:
        # Python's own end calls what catches no Stopped, and there is nothing left to keep.
        _stop_at_once_from_now_on()


def _call() -> int:
    """Run the command; what a library has made of Stopped, as pydantic makes an error of its own, is Stopped again."""
    try:
        # Without its standalone mode click returns the code of an Exit rather than raising it.
        code: int = vgt.main(prog_name="vgt", standalone_mode=False)
    except Exception as error:
        if not _heard:
            raise
        raise Stopped(_STOPPED, _heard[0]) from error
    return code


def _require_working_folder() -> None:
    """Raise UserError in a folder that was deleted, where no relative path means anything."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the working folder was deleted; change to one that exists") from None


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_heard: list[int] = []
"""The signals that have asked this process to end."""
_STOPPED = "stopped; the same command goes on from here"
_STOPPED_AT_ONCE = b"stopped at once; the same command goes on from the last checkpoint\n"


def _stop(number: int, _: object) -> None:
    """End with what was done so far kept. Ctrl-C too: at a KeyboardInterrupt Lightning exits with a code of its own."""
    _stop_at_once_from_now_on()
    _heard.append(number)
    raise Stopped(_STOPPED, number)


def _stop_at_once_from_now_on() -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _stop:
            signal.signal(each, _stop_at_once)


def _stop_at_once(number: int, _: object) -> None:
    """End without waiting for anything: asked for the second time."""
    os.write(2, _STOPPED_AT_ONCE)
    os._exit(128 + number)


_OF_THE_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _system_refuses(error: OSError) -> int:
    """Say what the system refuses, which no command foresaw: a file, or, where none is named, the output."""
    if error.filename is not None:
        return _say(f"error: {error.filename}: {error.strerror}", 2)
    if error.errno not in _OF_THE_OUTPUT:
        raise error
    # What could not be written is thrown away, or Python would try again at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return _say(f"error: the output cannot be written ({error.strerror or error})", 2)


def _say(text: str, code: int) -> int:
    say(text, err=True)
    return code
