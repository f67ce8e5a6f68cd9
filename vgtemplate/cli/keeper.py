"""Runs a command until whoever asked for it is gone, however that went: `python keeper.py COMMAND...`.

The asker holds the other end of the standard input, which the system closes even for a process that is killed. Both
commands are in one process group, of which nothing is left then. Started as a file, so that it loads nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

STOP_SECONDS = 10.0
"""How long the command may take over its end."""


def _end_with_the_asker() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the command, and exit with its code."""
    # A handler, which a new program does not inherit as it would inherit that a signal is ignored.
    signal.signal(signal.SIGTERM, lambda *_: None)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_the_asker, daemon=True).start()
    sys.exit(command.wait())


if __name__ == "__main__":
    main()
