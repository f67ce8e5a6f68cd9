"""A script without any doctor: its losses, and which parameters stand still: what a mutant's harm is told by.

`python -m benchmarks.doctor.mutant_bare RECORD STEPS SCRIPT [ARGUMENTS]` runs SCRIPT until one optimiser has made
STEPS steps, and writes RECORD, as JSON.
"""

from __future__ import annotations

import gc
import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook


class Enough(BaseException):
    """The steps are made; no `except Exception` of a script holds it up."""


class Recorder:
    """What a training does, seen from `backward` and from the optimisers' steps alone."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.losses: list[float] = []
        self.made: dict[int, int] = {}
        self.begun: list[tuple[Tensor, Tensor]] = []

    def before_backward(self, loss: Tensor) -> None:
        """Note a loss; at the first one also every parameter of every module that lives."""
        self.losses.append(float(loss.detach().float().sum()))
        if len(self.losses) == 1:
            modules = [thing for thing in gc.get_objects() if issubclass(type(thing), nn.Module)]
            each = {
                id(entry): entry for module in modules for entry in module._parameters.values() if entry is not None
            }
            self.begun = [(entry, entry.detach().clone()) for entry in each.values()]

    def after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Count a step; end the script where they are enough."""
        self.made[id(optimizer)] = self.made.get(id(optimizer), 0) + 1
        if self.made[id(optimizer)] >= self.steps:
            raise Enough

    def still(self) -> int:
        """Return how many parameters are to the bit what they were at the first loss."""
        return sum(torch.equal(now.detach(), begun) for now, begun in self.begun)


def record(steps: int, script: str, arguments: list[str]) -> dict[str, Any]:
    """Run a script as Python would, and return what was seen."""
    recorder = Recorder(steps)
    backward: Any = torch.Tensor.backward

    def recorded(loss: Tensor, *positional: Any, **named: Any) -> None:
        recorder.before_backward(loss)
        backward(loss, *positional, **named)

    torch.Tensor.backward = recorded  # type: ignore[method-assign, assignment]
    handle = register_optimizer_step_post_hook(recorder.after_step)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    started, ended = time.perf_counter(), ""
    try:
        runpy.run_path(script, run_name="__main__")
    except Enough:
        pass
    except SystemExit as left:
        ended = f"SystemExit: {left.code}" if left.code else ""
    except Exception as error:  # whatever the script does wrong is what is asked for
        ended = f"{type(error).__name__}: {error}".splitlines()[0]
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
        handle.remove()
    seen = {"losses": recorder.losses, "still": recorder.still(), "parameters": len(recorder.begun), "ended": ended}
    return seen | {"seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    seen = record(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    target.write_text(json.dumps(seen) + "\n", encoding="utf-8")
