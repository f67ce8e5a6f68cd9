"""A script, no test: trains arms in processes of their own, each of which ends itself where it is told to.

Reads one JSON object per line: configuration, seeds, folder, every_seconds, and kill: [where, count, signal]. Forks, so
that torch is loaded once; answers each line with how the child ended: {"signal": 9} or {"code": 0}.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vgtemplate.callbacks.checkpointer import Checkpointer
from vgtemplate.callbacks.curves import CurveRecorder
from vgtemplate.config.errors import Stopped
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.source import source_of
from vgtemplate.records import write_record
from vgtemplate.training import run, trainer
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Checkpoints, Hardware

MOMENTS: dict[str, tuple[Any, str]] = {
    "before a step": (Checkpointer, "on_train_batch_start"),
    "after a step": (CurveRecorder, "on_train_batch_end"),
    "inside a step": (CurveRecorder, "on_before_zero_grad"),
    "while writing a checkpoint": (trainer, "write_whole"),
    "in the test pass": (run, "_evaluate"),
}


def arrange(moment: str, count: int, number: int) -> None:
    """Send a signal to this process at the so-manieth time that the moment comes."""
    owner, name = MOMENTS[moment]
    original: Callable[..., Any] = getattr(owner, name)
    left = count

    def watched(*arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            if name == "write_whole":
                arguments[0].with_name(".writing-cut-off").write_bytes(arguments[1][:100])
            os.kill(os.getpid(), number)
        return original(*arguments, **keywords)

    setattr(owner, name, watched)


def train(job: dict[str, Any]) -> int:
    folder = Path(job["folder"])
    if job["kill"]:
        arrange(*job["kill"])
    config = ArmConfig.model_validate(job["configuration"])
    checkpoints = Checkpoints(folder / "checkpoints", job["every_seconds"])
    try:
        record, _ = train_arm("arm", config, job["seeds"], folder, Hardware("cpu"), checkpoints=checkpoints)
    except Stopped as stopped:
        return 128 + stopped.signal_number
    write_record(folder, record)
    return 0


def main() -> None:
    torch.set_num_threads(1)
    source_of("tests.core.training.own_nets:Recurrent")  # hashes all of the tests, which takes a second
    gc.freeze()  # a training ends with a collection of garbage, which would look through all of torch in every child
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = train(json.loads(line))
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        ended = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}
        print(json.dumps(ended), flush=True)
    gc.unfreeze()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
