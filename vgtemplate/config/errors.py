"""The exceptions that are no bugs: the user's input is wrong, or the user asked for the end; one line each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from vgtemplate.text import visible


class UserError(Exception):
    """Input that cannot be used; the command line prints its single line and exits with code 2."""

    def __init__(self, message: str) -> None:
        # A path or a value that is quoted in the message may hold a line break, or what a terminal takes for a command.
        super().__init__(visible(re.sub(r"\s", " ", " ".join(message.splitlines()))))


class Enough(BaseException):
    """Ends somebody's script, since all that was to be watched was; what guards against an Exception lets it pass."""


class Stopped(BaseException):
    """A signal asked for the end, and what was done so far is kept; the command line exits with 128 + the signal.

    No Exception, as KeyboardInterrupt is none: whoever guards against what may go wrong must not swallow it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Say that `name` is no known `kind`, with the nearest known name first and then all of them."""
    names = sorted(allowed)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {str(name)!r}; {hint}known: {', '.join(names) or 'none'}"
