"""A signal that Python swallowed is sent again: where no exception can be raised, Stopped cannot be either."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

from vgtemplate.config.errors import Stopped

_AGAIN_SECONDS = 0.02
"""Until it is sent again; a destructor takes less, and one that takes more is met by the next time."""


def send_again_what_is_swallowed(handler: Callable[[int, object], None]) -> None:
    """Let `handler`, which raises Stopped, be called again after each Stopped that Python could only print.

    Python runs a signal's handler between any two instructions of the main thread: in a destructor too, in what a weak
    reference calls, in the garbage collector. What is raised there is printed and forgotten, and the program would go
    on as though nobody had asked it to end.
    """
    usual = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            usual(unraisable)
            return
        number = unraisable.exc_value.signal_number
        signal.signal(number, handler)
        again = threading.Timer(_AGAIN_SECONDS, _send, [number])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook


def _send(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        # To the main thread, so that what it waits for is broken off.
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
