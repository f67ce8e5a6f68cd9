"""How many replica-steps a second, against other ways to train the same networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import peers
from benchmarks.cases import Work, arm
from benchmarks.clock import Contestant, Spread, race, ratios
from benchmarks.ours import population
from benchmarks.suite import Options, Row

OURS = "ours"
ALONE = "ours, 1 seed"
BY_HAND = "(a) a loop by hand"


def works(options: Options) -> list[Work]:
    """Return the networks to train."""
    found = []
    for kind, depth, width, steps in (
        ("mlp", 4, 30, 400),
        ("mlp", 20, 64, 100),
        ("mlp", 50, 64, 50),
        ("cnn", 10, 8, 6),
    ):
        for norm in ("none", "batch"):
            name = f"{kind.upper()} depth {depth}, width {width}" + (", BatchNorm" if norm == "batch" else "")
            config = arm(kind, depth, width, norm, num_train=2_000 if kind == "cnn" else 10_000)
            found.append(Work(name, config, 2 if options.quick else steps, min(5, steps // 2), options.device))
    return found[:2] if options.quick else found


def contestants(work: Work, num_replicas: int) -> dict[str, Contestant]:
    """Return the ways to train `work`, by name; each gives the seconds of one step of one network."""

    def of(way: Callable[..., float], *arguments: Any) -> Contestant:
        return lambda: way(work, *arguments)

    return {
        OURS: of(population, num_replicas),
        ALONE: of(population, 1),
        BY_HAND: of(peers.by_hand),
        "(b) Lightning": of(peers.lightning),
        "(c) Lightning, MLFlowLogger": of(peers.lightning_mlflow),
        "(c') ..., every step logged": of(peers.lightning_mlflow, 1),
        "(d) Keras 3 on torch": of(peers.keras_fit),
    }


def measure(options: Options) -> list[Row]:
    """Return one row a network and contestant: replica-steps a second, and its time over ours."""
    rows = []
    for work in works(options):
        seconds = race(contestants(work, options.replicas), options.rounds, options.watch, work.name)
        over_ours, over_hand = ratios(seconds, OURS), ratios(seconds, BY_HAND)
        for name, values in seconds.items():
            measured: dict[str, Spread | float] = {
                "replica-steps/s": Spread.of([1 / value for value in values]),
                "time over ours": over_ours[name],
                "time over (a)": over_hand[name],
            }
            rows.append(Row(work.name, name, measured))
    return rows
