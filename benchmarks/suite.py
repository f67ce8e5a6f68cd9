"""What every suite is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.clock import Spread


@dataclass(frozen=True)
class Options:
    """How a suite is run.

    Args:
        device: cpu or cuda.
        replicas: R of the populations.
        rounds: how often every contestant runs.
        quick: tiny work, to see that it runs; its figures mean nothing.
        watch: told what runs now.
    """

    device: str = "cpu"
    replicas: int = 10
    rounds: int = 5
    quick: bool = False
    watch: Callable[[str], None] = field(default=lambda text: None)


@dataclass(frozen=True)
class Row:
    """One line of a suite's table: what was done, by whom, and the quantities measured, by their names with units."""

    work: str
    contestant: str
    values: dict[str, Spread | float]

    def to_json(self) -> dict[str, Any]:
        """Return the row with every spread as [median, least, most]."""
        plain = {
            name: [value.median, value.least, value.most] if isinstance(value, Spread) else value
            for name, value in self.values.items()
        }
        return {"work": self.work, "contestant": self.contestant, **plain}
