"""Where a network is looked at: no gradients are recorded, no mode sees it, no replica axis is hidden."""

from __future__ import annotations

from typing import Any

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

_C = torch._C


class Aside:
    """A context to look at a network in; it is entered for every function that the network calls, so it is quick."""

    __slots__ = ("_hidden", "_modes", "_records")

    def __enter__(self) -> None:
        # Modes are for the network's functions, not for ours; they hear of the gradients' switch as well.
        self._modes: Any = _C.DisableTorchFunction()
        self._modes.__enter__()
        self._records = torch.is_grad_enabled()
        if self._records:
            _C._set_grad_enabled(False)
        self._hidden: Any = None
        if _C._functorch.peek_interpreter_stack() is not None:
            # Inside a population's vmap, too, what is looked at is looked at as it is in memory.
            self._hidden = temporarily_clear_interpreter_stack()
            self._hidden.__enter__()

    def __exit__(self, *_: object) -> None:
        if self._hidden is not None:
            self._hidden.__exit__(None, None, None)
        if self._records:
            _C._set_grad_enabled(True)
        self._modes.__exit__(None, None, None)
