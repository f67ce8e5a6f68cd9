"""What else may be told of a watched step, besides the series: every function that is called, every layer's values."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from vgtemplate.watching.lens import Seen
from vgtemplate.watching.rows import Row


class Listener(Protocol):
    """Is called while the network runs, outside of autograd; what it raises is noted, never passed on."""

    def calling(self, name: str, args: Any, kwargs: Any, records: bool = True) -> None:
        """Before a torch function is called; `records`: whether gradients are recorded there."""

    def returned(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """After it, where gradients are recorded."""

    def layer(self, name: str, row: Row, data: Any, seen: Seen) -> None:
        """A function of a layer was called: with what beside its weights (`data`), and what came out."""

    def output(self, row: Row, seen: Seen, is_layer: bool) -> None:
        """What a layer puts out (`is_layer`), or its activation."""

    def activation(self, function: Any, row: Row, seen: Seen, axis: int, args: Any, kwargs: Any) -> None:
        """A layer's activation is called: with what besides its input (`seen`); `axis`: of the units."""

    def gradient(self, row: Row, seen: Seen) -> Tensor:
        """DL/dz of a layer has arrived; return the sum of its squares, (R,)."""
        ...
